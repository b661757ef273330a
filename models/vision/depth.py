"""Monocular depth estimation: a map of relative nearness from one picture.

Depth Anything V2 (https://arxiv.org/abs/2406.09414), DPT (https://arxiv.org/abs/2103.13413) and
GLPN (https://arxiv.org/abs/2201.07436), all through transformers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.memory.loader import CapabilityModel
from models.profiles.load import Capability, Model, Profile
from models.vision.network import VisionNetwork, resize_to_image

_METRIC = ("glpn", "zoedepth")  # model types that predict meters
_NEAREST_M = 0.1  # a prediction of 0 m would make all other points equally far


class DepthEstimator(CapabilityModel):
    """The loaded depth model of a profile; safe to call from several threads.

    ``longest`` limits the longer side of the network's input in pixels: some image processors take
    any size, and a network trained on small pictures fails on large ones.
    """

    capability = Capability.DEPTH

    def __init__(self, network: VisionNetwork, longest: int | None = None) -> None:
        super().__init__(network.model)
        self._network, self._longest = network, longest

    @classmethod
    def read(cls, profile: Profile) -> DepthEstimator:
        """The depth model of ``profile``, on the CPU."""
        longest = profile.capability_config(Capability.DEPTH).max_size
        model = profile.model(Capability.DEPTH)
        return cls(VisionNetwork.read(model, _processor_class(model)), longest)

    def estimate_nearness(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """Nearness of every pixel: float32, height x width of ``image``, 0 farthest, 1 nearest.

        The result is float32 (height, width), 0 farthest to 1 nearest: relative inverse depth,
        stretched to the range of this picture. Two pictures cannot be compared. It is 0 everywhere
        if all pixels are equally far.
        """

        predicted = self._network(self._downscaled(image), "predicted_depth")[:, None]
        if self._is_metric():
            predicted = 1.0 / predicted.clamp(min=_NEAREST_M)
        nearness = resize_to_image(predicted, image)[0, 0].numpy().astype(np.float32)
        nearness -= nearness.min()
        highest = nearness.max()
        return nearness / highest if highest > 0 else nearness

    def _downscaled(self, image: Image.Image) -> Image.Image:

        if self._longest is None or max(image.size) <= self._longest:
            return image
        scale = self._longest / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.convert("RGB").resize(size, Image.Resampling.BOX)

    def _is_metric(self) -> bool:
        config = self._network.model.config
        return (
            config.model_type in _METRIC
            or getattr(config, "depth_estimation_type", "relative") == "metric"
        )


def _processor_class(model: Model) -> Any:
    import transformers

    names = {
        "GLPNForDepthEstimation": "GLPNImageProcessorPil",
        "ZoeDepthForDepthEstimation": "ZoeDepthImageProcessorPil",
    }
    return getattr(transformers, names.get(model.loader, "DPTImageProcessorPil"))
