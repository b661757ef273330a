"""Garments: cut out of a picture, flat or worn, and where on a person they go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from models.vision.human_parsing import MIN_GARMENT, REGIONS, HumanParse

Mask = np.ndarray[Any, Any]


Category = Literal["upper", "lower", "dress"]
Kind = Literal["flat", "worn"]

_BACKGROUND_GRAY = 225  # the plain grey on which product photos, and the shipped pack's, mostly lie
_FILLED = 0.8  # of the side, by the garment's longer one
# Lab distances from which a pixel is not the ground any more: on even ground, where white lies on
# light grey, and how often as far as the ground itself strays.
_MIN_BACKGROUND_DISTANCE, _STRAYS = 5.0, 3.0
_MIN_AREA = 0.02  # of the picture; less is a speck
# Shares of the figure: a face that is one, and a garment that is all there is. A parser takes a
# flat garment for a dress with bits of face; measured, one piece is at most 0.6 of a person.
_FACE, _ALONE = 0.02, 0.75
# What hangs over a garment, or beside it, and is not to be painted.
_PROTECTED_LABELS = ("face", "hair", "arms", "hat", "bag")


class GarmentNotFound(ValueError):
    """No garment was found on the picture; its message says what to send."""


def garment_photo_kind(parse: HumanParse) -> Kind:
    """Whether the picture that was parsed shows a garment on somebody or by itself."""
    figure = max(parse.person_fraction, 1e-6)
    face = parse.mask("face").mean() / figure
    largest = max(parse.mask(one).mean() for one in ("upper", "pants", "skirt", "dress")) / figure
    return "worn" if face > _FACE and largest < _ALONE else "flat"


def worn_garment_category(parse: HumanParse) -> Category | None:
    """What the person wears that could be exchanged: most of it decides."""
    one_piece = parse.mask("dress").mean()
    upper = parse.mask(*REGIONS["upper"]).mean()
    if max(one_piece, upper) < MIN_GARMENT * parse.person_fraction:
        return None
    return "dress" if one_piece > upper else "upper"


def garment_mask(parse: HumanParse, category: Category, *, keep: bool = True) -> Mask:
    """Where on the person a garment of ``category`` is painted: height x width of bool.

    It reaches a little beyond what is worn now, so that its edge is painted too; never over face,
    hair, arms and hands if ``keep``.
    """

    worn = parse.mask(*REGIONS[category])
    rows = np.flatnonzero((parse.labels != parse.names.index("background")).any(axis=1))
    tall = rows[-1] - rows[0] + 1 if len(rows) else worn.shape[0]
    side = 2 * max(1, round(tall / 32)) + 1
    grown = cv2.dilate(worn.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    kept = (
        parse.mask(*_PROTECTED_LABELS, *_other_garments(category)) if keep else np.zeros_like(worn)
    )
    return (grown & ~kept) | worn


def _other_garments(category: Category) -> tuple[str, ...]:
    others: Mapping[str, tuple[str, ...]] = {
        "upper": ("pants", "skirt"), "lower": ("upper", "dress", "shoes"), "dress": ("shoes",)
    }  # fmt: skip
    return others[category]


def extract_worn_garment(
    picture: Image.Image, parse: HumanParse, category: Category
) -> Image.Image:
    """The garment that the person on ``picture`` wears, by itself on plain ground, square.

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
    """The garment lying on ``picture``, on plain ground, square. RGBA: what is opaque.

    The ground is what the border of the picture shows.

    Raises:
        GarmentNotFound: nothing stands out from the ground.
    """

    if picture.mode == "RGBA" and min(picture.getchannel("A").tobytes()) < 128:
        found = np.asarray(picture.getchannel("A")) >= 128
        if not found.any():
            raise GarmentNotFound("the garment picture is empty")
        return center_on_square(picture.convert("RGB"), found)
    pixels = np.asarray(picture.convert("RGB"))
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    ground = np.median(border, axis=0)
    strays = float(np.median(np.linalg.norm(border - ground, axis=-1)))
    apart = np.linalg.norm(lab - ground, axis=-1) > max(_MIN_BACKGROUND_DISTANCE, _STRAYS * strays)
    # White stripes on white ground belong to the garment: what its outline encloses is filled.
    outlines, _ = cv2.findContours(
        cv2.morphologyEx(apart.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)),
        cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE,
    )  # fmt: skip
    if not outlines:
        raise GarmentNotFound("no garment stands out from the ground of the garment picture")
    filled = np.zeros(apart.shape, np.uint8)
    cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    if filled.mean() < _MIN_AREA:
        raise GarmentNotFound("no garment stands out from the ground of the garment picture")
    return center_on_square(picture.convert("RGB"), filled > 0)


def center_on_square(picture: Image.Image, subject_mask: Mask) -> Image.Image:
    """What of ``picture`` is ``subject_mask``, in the middle of a square of plain ground."""

    rows, columns = (
        np.flatnonzero(subject_mask.any(axis=1)),
        np.flatnonzero(subject_mask.any(axis=0)),
    )
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    wide, high = box[2] - box[0], box[3] - box[1]
    side = max(1, round(max(wide, high) / _FILLED))
    mask = Image.fromarray(subject_mask.astype(np.uint8) * 255)
    out = Image.new("RGB", (side, side), (_BACKGROUND_GRAY,) * 3)
    place = ((side - wide) // 2, (side - high) // 2)
    out.paste(picture.convert("RGB").crop(box), place, mask.crop(box))
    return out
