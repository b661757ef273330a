"""Cut garments out of pictures, flat or worn, and mask where a person wears them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from models.vision.human_parsing import MIN_GARMENT, REGIONS, HumanParse

Mask = npt.NDArray[np.bool_]  # (height, width)
Category = Literal["upper", "lower", "dress"]
Kind = Literal["flat", "worn"]

_BACKGROUND_GRAY = 225  # the plain gray of most product photos, the shipped pack's included
_FILLED = 0.8  # of the square's side, covered by the garment's longer side
# CIE Lab distance beyond which a pixel is not background: at least the first (white on light gray),
# or the second times the background's own median deviation.
_MIN_BACKGROUND_DISTANCE, _STRAYS = 5.0, 3.0
_MIN_AREA = 0.02  # of the picture; less is a speck
# Fractions of the figure: the smallest real face, and the smallest garment without a person. A
# parser takes a flat garment for a dress with bits of face; measured, one garment covers at most
# 0.6 of a person.
_FACE, _ALONE = 0.02, 0.75
# Labels over or beside a garment that inpainting must not change.
_PROTECTED_LABELS = ("face", "hair", "arms", "hat", "bag")


class GarmentNotFound(ValueError):
    """The picture shows no garment; the message says which picture to send."""


def garment_photo_kind(parse: HumanParse) -> Kind:
    """Tell whether the parsed picture shows a garment worn by a person or lying flat."""
    figure = max(parse.person_fraction, 1e-6)
    face = parse.mask("face").mean() / figure
    largest = (
        max(parse.mask(label).mean() for label in ("upper", "pants", "skirt", "dress")) / figure
    )
    return "worn" if face > _FACE and largest < _ALONE else "flat"


def worn_garment_category(parse: HumanParse) -> Category | None:
    """Return the category of the largest garment the person wears, or ``None`` without one."""
    one_piece = parse.mask("dress").mean()
    upper = parse.mask(*REGIONS["upper"]).mean()
    if max(one_piece, upper) < MIN_GARMENT * parse.person_fraction:
        return None
    return "dress" if one_piece > upper else "upper"


def garment_mask(parse: HumanParse, category: Category, *, keep: bool = True) -> Mask:
    """Return the inpainting mask for a garment of ``category``: bool (height, width).

    The mask extends slightly beyond the worn garment, so that its edge is painted too. With
    ``keep`` that margin never covers face, hair, arms, hat, bag or other garments.
    """

    worn = parse.mask(*REGIONS[category])
    rows = np.flatnonzero((parse.labels != parse.names.index("background")).any(axis=1))
    tall = rows[-1] - rows[0] + 1 if len(rows) else worn.shape[0]
    side = 2 * max(1, round(tall / 32)) + 1
    grown = cv2.dilate(worn.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    protected = (
        parse.mask(*_PROTECTED_LABELS, *_other_garments(category)) if keep else np.zeros_like(worn)
    )
    return (grown & ~protected) | worn


def _other_garments(category: Category) -> tuple[str, ...]:
    others: Mapping[str, tuple[str, ...]] = {
        "upper": ("pants", "skirt"), "lower": ("upper", "dress", "shoes"), "dress": ("shoes",)
    }  # fmt: skip
    return others[category]


def extract_worn_garment(
    picture: Image.Image, parse: HumanParse, category: Category
) -> Image.Image:
    """Cut out the garment that the person on ``picture`` wears, on a plain gray square.

    Raises:
        GarmentNotFound: the person wears none of that category.
    """
    worn = parse.mask(*REGIONS[category])
    if worn.mean() < _MIN_AREA * parse.person_fraction or not worn.any():
        raise GarmentNotFound(
            f"no {category} garment was found on the person of the garment picture"
        )
    return center_on_square(picture, worn)


def extract_flat_garment(picture: Image.Image) -> Image.Image:
    """Cut out the garment lying flat on ``picture``, on a plain gray square.

    An RGBA picture is cut by its alpha channel, others by the background color at the border.

    Raises:
        GarmentNotFound: nothing differs from the background.
    """

    if picture.mode == "RGBA" and min(picture.getchannel("A").tobytes()) < 128:
        opaque = np.asarray(picture.getchannel("A")) >= 128
        if not opaque.any():
            raise GarmentNotFound("the garment picture is empty")
        return center_on_square(picture.convert("RGB"), opaque)
    pixels = np.asarray(picture.convert("RGB"))
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    background = np.median(border, axis=0)
    deviation = float(np.median(np.linalg.norm(border - background, axis=-1)))
    foreground = np.linalg.norm(lab - background, axis=-1) > max(
        _MIN_BACKGROUND_DISTANCE, _STRAYS * deviation
    )
    # White stripes on a white background belong to the garment, so the outer contour is filled.
    outlines, _ = cv2.findContours(
        cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)),
        cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE,
    )  # fmt: skip
    if not outlines:
        raise GarmentNotFound("no garment stands out from the ground of the garment picture")
    filled = np.zeros(foreground.shape, np.uint8)
    cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    if filled.mean() < _MIN_AREA:
        raise GarmentNotFound("no garment stands out from the ground of the garment picture")
    return center_on_square(picture.convert("RGB"), filled > 0)


def center_on_square(picture: Image.Image, subject_mask: Mask) -> Image.Image:
    """Crop ``picture`` to ``subject_mask``, bool (height, width), centered on a gray square."""

    rows, columns = (
        np.flatnonzero(subject_mask.any(axis=1)),
        np.flatnonzero(subject_mask.any(axis=0)),
    )
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    wide, high = box[2] - box[0], box[3] - box[1]
    side = max(1, round(max(wide, high) / _FILLED))
    mask = Image.fromarray(subject_mask.astype(np.uint8) * 255)
    square = Image.new("RGB", (side, side), (_BACKGROUND_GRAY,) * 3)
    place = ((side - wide) // 2, (side - high) // 2)
    square.paste(picture.convert("RGB").crop(box), place, mask.crop(box))
    return square
