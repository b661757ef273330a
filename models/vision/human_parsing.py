"""Human parsing: which pixel of a photo belongs to hair, face, skin or which garment.

SegFormer (https://arxiv.org/abs/2105.15203) with whatever label set it was trained on; the labels
are mapped to one vocabulary, so that callers never see a data set's own names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from PIL.Image import Image

from models.memory.loader import CapabilityModel
from models.profiles.load import Capability, Profile
from models.vision.network import VisionNetwork, resize_to_image

LABELS = (
    "background", "hair", "face", "upper", "arms", "legs",
    "pants", "skirt", "dress", "shoes", "hat", "bag", "other",
)  # fmt: skip

# What the data sets call them: ATR and LIP (both used by the SegFormer clothes models), FASHN.
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

# Where a garment is worn: the labels that may cover that part of the body.
REGIONS: Mapping[str, tuple[str, ...]] = {
    "upper": ("upper",),
    "lower": ("pants", "skirt"),
    "dress": ("dress", "upper", "pants", "skirt"),
}

# Shares. A person below the first is too small to dress; a garment below the second of the person
# is a fringe the parser imagined; a figure below the third of the largest is a passer-by or noise;
# one that shows less hair and skin than the fourth is a garment without anybody in it.
MIN_PERSON, MIN_GARMENT, MIN_FIGURE, MIN_BODY = 0.04, 0.03, 0.25, 0.03
_BODY = ("hair", "face", "arms", "legs")


class UnknownLabel(ValueError):
    """A label that the common vocabulary has no place for, in the weights or in a question."""


class UnknownRegion(ValueError):
    """There is no garment region of that name."""


class RejectionReason(StrEnum):
    """Why a photo cannot be dressed."""

    NO_PERSON = "no_person"
    SEVERAL_PEOPLE = "several_people"
    TOO_SMALL = "too_small"
    GARMENT_NOT_FOUND = "garment_not_found"

    @property
    def message(self) -> str:
        """What to tell the person who sent it."""
        return _MESSAGES[self]


_MESSAGES = {
    RejectionReason.NO_PERSON: "no person was found; send a photo that shows one, standing free",
    RejectionReason.SEVERAL_PEOPLE: "several people were found; send a photo of one person",
    RejectionReason.TOO_SMALL: "the person is too small; crop the photo closer",
    RejectionReason.GARMENT_NOT_FOUND: "the garment to replace was not found on the person",
}


@dataclass(frozen=True)
class HumanParse:
    """``labels`` is uint8, height x width of the photo; a value is a place in ``names``."""

    labels: np.ndarray[Any, Any]
    names: tuple[str, ...] = LABELS

    def mask(self, *names: str) -> np.ndarray[Any, Any]:
        """Height x width of bool: where any of ``names`` is.

        Raises:
            UnknownLabel: one of them is not in the vocabulary.
        """

        if strange := [name for name in names if name not in self.names]:
            raise UnknownLabel(f"no part {strange[0]!r}; there are: {', '.join(self.names)}")
        return np.isin(self.labels, [self.names.index(name) for name in names])

    @property
    def person_fraction(self) -> float:
        """How much of the picture is not background, 0 to 1."""
        return float((self.labels != self.names.index("background")).mean())

    def count_people(self) -> int:
        """How many figures there are: connected ones, or faces where figures touch.

        Figures and faces under a quarter of the largest are not counted.
        """
        return max(
            _count_figures(self.labels != self.names.index("background")),
            _count_figures(self.mask("face")),
        )

    def _body(self) -> float:
        """The share of the picture that is hair or skin."""
        return float(self.mask(*(name for name in _BODY if name in self.names)).mean())

    def rejection_reason(self, region: str | None = None) -> RejectionReason | None:
        """The first reason why the photo cannot be dressed, or ``None``.

        ``region`` is one of :data:`REGIONS`; ``None`` asks for a person only.

        Raises:
            UnknownRegion: it is none of them.
        """
        if region is not None and region not in REGIONS:
            raise UnknownRegion(f"no region {region!r}; there are: {', '.join(REGIONS)}")
        share, people = self.person_fraction, self.count_people()
        if people == 0 or self._body() < MIN_BODY * share:
            return RejectionReason.NO_PERSON
        if people > 1:
            return RejectionReason.SEVERAL_PEOPLE
        if share < MIN_PERSON:
            return RejectionReason.TOO_SMALL
        if region is not None and self.mask(*REGIONS[region]).mean() < MIN_GARMENT * share:
            return RejectionReason.GARMENT_NOT_FOUND
        return None


def _count_figures(where: np.ndarray[Any, Any]) -> int:

    # Close gaps of a hundredth of the picture: a belt of background pixels is no second person.
    side = max(3, 2 * (max(where.shape) // 200) + 1)
    closed = cv2.morphologyEx(
        where.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)
    )
    count, _, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    sizes = stats[1:count, cv2.CC_STAT_AREA]
    # A thousandth of the picture is noise even where nothing larger is.
    least = max(MIN_FIGURE * sizes.max(initial=0), where.size / 1000)
    return int((sizes >= least).sum())


class HumanParser(CapabilityModel):
    """The loaded parser of a profile; safe to call from several threads."""

    capability = Capability.HUMAN_PARSING

    def __init__(self, network: VisionNetwork) -> None:

        super().__init__(network.model)
        config = network.model.config
        theirs = [config.id2label[index] for index in range(config.num_labels)]
        self._network = network
        self._common_label_ids = np.array(
            [_common_label(label) for label in theirs], dtype=np.uint8
        )

    @classmethod
    def read(cls, profile: Profile) -> HumanParser:
        """The parser of ``profile``, on the CPU.

        Raises:
            UnknownLabel: the weights know a thing this module has no word for.
        """
        return cls(VisionNetwork.read(profile, Capability.HUMAN_PARSING))

    def parse(self, image: Image) -> HumanParse:
        """What is where on ``image``, at its size."""
        large = resize_to_image(self._network(image, "logits"), image)
        return HumanParse(self._common_label_ids[large[0].argmax(0).numpy()])


def _common_label(label: str) -> int:
    plain = label.strip().lower().replace("_", "-").replace(" ", "-")
    try:
        return LABELS.index(_COMMON_LABELS[plain])
    except KeyError:
        raise UnknownLabel(
            f"the label {label!r} has no place in the vocabulary; add it to {__name__}"
        ) from None
