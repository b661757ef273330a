"""Human parsing: every pixel of a photo labeled as hair, face, skin or a garment.

What a parsed photo says, in one vocabulary. :mod:`models.vision.human_parser` makes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

LABELS = (
    "background", "hair", "face", "upper", "arms", "legs",
    "pants", "skirt", "dress", "shoes", "hat", "bag", "other",
)  # fmt: skip

# Body regions, each with the labels of the garments that may cover it.
REGIONS: Mapping[str, tuple[str, ...]] = {
    "upper": ("upper",),
    "lower": ("pants", "skirt"),
    "dress": ("dress", "upper", "pants", "skirt"),
}

# Fractions: of the picture below which a person is too small to dress; of the person below which a
# garment is a parser error; of the largest figure below which a figure is a passer-by or noise; and
# of the figure below which hair and skin are missing, so that it is a garment without a person.
MIN_PERSON, MIN_GARMENT, MIN_FIGURE, MIN_BODY = 0.04, 0.03, 0.25, 0.03
_BODY = ("hair", "face", "arms", "legs")


class UnknownLabel(ValueError):
    """The common vocabulary lacks a label, either of the weights or of a query."""


class UnknownRegion(ValueError):
    """No garment region has that name."""


class RejectionReason(StrEnum):
    """Why a photo is unfit for fitting a garment to its person."""

    NO_PERSON = "no_person"
    NO_FACE = "no_face"
    SEVERAL_PEOPLE = "several_people"
    TOO_SMALL = "too_small"
    GARMENT_NOT_FOUND = "garment_not_found"

    @property
    def message(self) -> str:
        """The message for the user who sent the photo."""
        return _MESSAGES[self]


_MESSAGES = {
    RejectionReason.NO_PERSON: "no person was found; send a photo that shows one, standing free",
    RejectionReason.NO_FACE: "no face was found; send a photo that shows one from the front",
    RejectionReason.SEVERAL_PEOPLE: "several people were found; send a photo of one person",
    RejectionReason.TOO_SMALL: "the person is too small; crop the photo closer",
    RejectionReason.GARMENT_NOT_FOUND: "the garment to replace was not found on the person",
}


@dataclass(frozen=True)
class HumanParse:
    """A parsed photo.

    ``labels`` is uint8 (height, width); each value is an index into ``names``.
    """

    labels: npt.NDArray[np.uint8]
    names: tuple[str, ...] = LABELS

    def mask(self, *names: str) -> npt.NDArray[np.bool_]:
        """Mark the pixels that have one of the labels ``names``: bool (height, width).

        Raises:
            UnknownLabel: one of them is not in the vocabulary.
        """

        if unknown := [name for name in names if name not in self.names]:
            raise UnknownLabel(f"no part {unknown[0]!r}; there are: {', '.join(self.names)}")
        return np.isin(self.labels, [self.names.index(name) for name in names])

    @property
    def person_fraction(self) -> float:
        """The fraction of the picture that is not background, 0..1."""
        return float((self.labels != self.names.index("background")).mean())

    def count_people(self) -> int:
        """Count the people: connected figures, or faces where figures touch.

        Figures and faces under a quarter of the largest are not counted.
        """
        return max(
            _count_figures(self.labels != self.names.index("background")),
            _count_figures(self.mask("face")),
        )

    def _body(self) -> float:
        """Return the fraction of the picture that is hair or skin, 0..1."""
        return float(self.mask(*(name for name in _BODY if name in self.names)).mean())

    def rejection_reason(self, region: str | None = None) -> RejectionReason | None:
        """Return the first reason why a garment cannot be fitted to the photo, or ``None``.

        ``region`` is one of :data:`REGIONS`; ``None`` checks for a person only.

        Raises:
            UnknownRegion: it is none of them.
        """
        if region is not None and region not in REGIONS:
            raise UnknownRegion(f"no region {region!r}; there are: {', '.join(REGIONS)}")
        fraction, people = self.person_fraction, self.count_people()
        if people == 0 or self._body() < MIN_BODY * fraction:
            return RejectionReason.NO_PERSON
        if people > 1:
            return RejectionReason.SEVERAL_PEOPLE
        if fraction < MIN_PERSON:
            return RejectionReason.TOO_SMALL
        if region is not None and self.mask(*REGIONS[region]).mean() < MIN_GARMENT * fraction:
            return RejectionReason.GARMENT_NOT_FOUND
        return None


def _count_figures(where: npt.NDArray[np.bool_]) -> int:

    # Close gaps of a hundredth of the picture: a belt of background pixels is no second person.
    side = max(3, 2 * (max(where.shape) // 200) + 1)
    closed = cv2.morphologyEx(
        where.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)
    )
    count, _, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    sizes = stats[1:count, cv2.CC_STAT_AREA]
    # A thousandth of the picture is noise even where nothing larger is.
    min_size = max(MIN_FIGURE * sizes.max(initial=0), where.size / 1000)
    return int((sizes >= min_size).sum())
