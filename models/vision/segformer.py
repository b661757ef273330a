"""SegFormer (https://arxiv.org/abs/2105.15203) as a human parser, trained on any label set.

Its labels are mapped to one vocabulary, so that callers never see a data set's own names.
"""

from __future__ import annotations

import numpy as np
from PIL.Image import Image

from models.profiles.load import Model
from models.vision.human_parsing import LABELS, HumanParse, UnknownLabel
from models.vision.network import VisionNetwork, resize_to_image

# Label names of the data sets ATR and LIP (both used by the SegFormer clothes models) and FASHN.
_LABEL_SYNONYMS = {
    "hair": ("hair",),
    "face": ("face",),
    "upper": ("upper", "upper-clothes", "coat", "top"),
    "arms": ("arms", "left-arm", "right-arm", "hands"),
    "legs": ("legs", "left-leg", "right-leg", "feet"),
    "pants": ("pants",),
    "skirt": ("skirt",),
    "dress": ("dress", "jumpsuits"),
    "shoes": ("shoes", "left-shoe", "right-shoe", "socks"),
    "hat": ("hat",),
    "bag": ("bag",),
    "other": ("other", "sunglasses", "glasses", "belt", "scarf", "glove", "torso", "jewelry"),
    "background": ("background",),
}
_COMMON_LABELS = {theirs: ours for ours, names in _LABEL_SYNONYMS.items() for theirs in names}


class SegformerParser:
    """A loaded SegFormer; safe to call from several threads."""

    def __init__(self, network: VisionNetwork) -> None:
        self.network = network.model
        config = network.model.config
        theirs = [config.id2label[index] for index in range(config.num_labels)]
        self._network = network
        self._common_label_ids = np.array(
            [_common_label(label) for label in theirs], dtype=np.uint8
        )

    @classmethod
    def read(cls, model: Model) -> SegformerParser:
        """The weights of ``model``, on the CPU.

        Raises:
            UnknownLabel: the weights know a thing this module has no word for.
        """
        from transformers import SegformerImageProcessorPil

        return cls(VisionNetwork.read(model, SegformerImageProcessorPil))

    def parse(self, image: Image) -> HumanParse:
        """Label every pixel of ``image``, at its size."""
        large = resize_to_image(self._network(image, "logits"), image)
        return HumanParse(self._common_label_ids[large[0].argmax(0).numpy()])


def _common_label(label: str) -> int:
    normalized = label.strip().lower().replace("_", "-").replace(" ", "-")
    try:
        return LABELS.index(_COMMON_LABELS[normalized])
    except KeyError:
        raise UnknownLabel(
            f"the label {label!r} has no place in the vocabulary; add it to {__name__}"
        ) from None
