"""Depth from one picture: which pixel is nearer, as a map a parallax film can be made from.

Depth Anything V2 (https://arxiv.org/abs/2406.09414), DPT (https://arxiv.org/abs/2103.13413) and
GLPN (https://arxiv.org/abs/2201.07436), all through transformers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from models.memory.loader import CapabilityModel
from models.profiles.load import Capability, Profile
from models.vision.network import VisionNetwork, resize_to_image

_METRIC = ("glpn", "zoedepth")  # model types that predict metres
_NEAREST_M = 0.1  # a prediction of zero metres would make everything else equally far


class DepthEstimator(CapabilityModel):
    """The loaded depth model of a profile; safe to call from several threads.

    ``longest`` bounds the side of the picture the network is shown: some processors take any size,
    and a network that was trained on small pictures sees nothing in large ones.
    """

    capability = Capability.DEPTH

    def __init__(self, network: VisionNetwork, longest: int | None = None) -> None:
        super().__init__(network.model)
        self._network, self._longest = network, longest

    @classmethod
    def read(cls, profile: Profile) -> DepthEstimator:
        """The depth model of ``profile``, on the CPU."""
        longest = profile.capability_config(Capability.DEPTH).max_size
        return cls(VisionNetwork.read(profile, Capability.DEPTH), longest)

    def estimate_nearness(self, image: Image.Image) -> np.ndarray[Any, Any]:
        """Nearness of every pixel: float32, height x width of ``image``, 0 farthest, 1 nearest.

        It is relative: linear in inverse distance, stretched to the range of this one picture. Two
        pictures cannot be compared. Where everything is equally far, all is 0.
        """

        predicted = self._network(self._downscaled(image), "predicted_depth")[:, None]
        if self._is_metric():
            predicted = 1.0 / predicted.clamp(min=_NEAREST_M)
        near = resize_to_image(predicted, image)[0, 0].numpy().astype(np.float32)
        near -= near.min()
        highest = near.max()
        return near / highest if highest > 0 else near

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
