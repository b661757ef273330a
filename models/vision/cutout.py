"""The one thing a picture shows, cut out of its ground.

A plain ground is told by the picture's border, and taken away where its colour is. Before a busy
one the thing is what is nearest, its outline found by GrabCut (Rother, Kolmogorov and Blake, 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


_BORDER = 0.04  # of the shorter side: what is looked at to learn the ground's colour
_PLAIN_FRACTION = 0.85  # of the border must be of one colour
_BACKGROUND_DISTANCE = 10.0  # CIE Lab units around the ground's colour that are still the ground
_MIN_AREA = 0.004  # of the picture: what is smaller is no thing
_MIN_AREA_ON_BUSY = (
    0.03  # before a busy ground: depth is too coarse for less, and noise is full of it
)
_MAX_AREA = 0.97
_MIN_HOLE_AREA = (
    0.006  # of the picture: a larger patch of the ground's colour is a hole in the thing
)
_WORKING_SIDE = 384  # pixels a side at which GrabCut is run: it takes seconds for a large photo
_GRABCUT_ROUNDS = 4
_FLOOR = 0.2  # of a row is what stands behind the thing, at least


class NoSubjectFound(ValueError):
    """The picture shows no single thing that could be cut out; its message says what would do."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """``mask`` is float32 (height, width), 1 where the thing is, soft at its edge.

    ``background_kind`` tells how it was found: ``transparent``, ``plain`` or ``depth``.
    """

    mask: Array
    background_kind: str


def extract_subject(image: Image.Image, nearness: Array | None = None) -> Cutout:
    """The thing that ``image`` (RGB, or RGBA whose alpha decides) shows.

    ``nearness`` (height x width, 0..1, as :mod:`models.vision.depth` gives it) is needed only where
    the ground is not plain.

    Raises:
        NoSubjectFound: all is of one colour, or the ground is not plain and no depth tells.
    """

    if image.mode == "RGBA":
        alpha = np.asarray(image.getchannel("A"), np.float32) / 255
        if alpha.min() < 0.5:
            return Cutout(_require_area(alpha), "transparent")
    lab = _lab(image)
    away = _distance_from_background(lab)
    if away is not None:
        return Cutout(_require_area(_subject_mask(away)), "plain")
    if nearness is None:
        raise NoSubjectFound(
            "the ground behind the thing is not plain: take a picture of one thing before one"
            " colour, or one whose ground is transparent"
        )
    return Cutout(_require_area(_nearest_object_mask(image, nearness), _MIN_AREA_ON_BUSY), "depth")


def needs_depth(image: Image.Image) -> bool:
    """Whether :func:`extract_subject` wants the depth of ``image``."""
    if image.mode == "RGBA" and min(image.getchannel("A").tobytes()) < 128:
        return False
    return _distance_from_background(_lab(image)) is None


def place_on_background(
    image: Image.Image, mask: Array, background: tuple[int, int, int], margin: float
) -> Image.Image:
    """The thing alone in the middle of a square of ``background``, ``margin`` of it free around."""

    rows, columns = np.nonzero(mask > 0.5)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    thing = image.convert("RGB").crop(box)
    soft = Image.fromarray((mask * 255).round().astype(np.uint8)).crop(box)
    side = round(max(thing.size) / (1 - 2 * margin))
    square = Image.new("RGB", (side, side), background)
    square.paste(thing, ((side - thing.width) // 2, (side - thing.height) // 2), soft)
    return square


def _lab(image: Image.Image) -> Array:

    pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB))


def _distance_from_background(lab: Array) -> Array | None:
    """How far each pixel is from the ground's colour, ``None`` if the ground is not plain.

    The ground may get lighter or darker across the picture: a plane is fitted to the border.
    """

    height, width = lab.shape[:2]
    thick = max(1, round(min(height, width) * _BORDER))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    border = np.ones((height, width), bool)
    border[thick:-thick, thick:-thick] = False
    planes = np.stack([np.ones_like(rows), rows / height - 0.5, columns / width - 0.5], axis=-1)
    samples, colours = planes[border], lab[border]
    middle = np.median(colours, axis=0)
    kept = np.linalg.norm(colours - middle, axis=1) < 3 * _BACKGROUND_DISTANCE
    if kept.mean() < _PLAIN_FRACTION:
        return None
    fit, *_ = np.linalg.lstsq(samples[kept], colours[kept], rcond=None)
    away: Array = np.linalg.norm(lab - planes @ fit, axis=2)
    return away if (away[border] < _BACKGROUND_DISTANCE).mean() >= _PLAIN_FRACTION else None


def _subject_mask(away: Array) -> Array:
    """The thing's soft mask: everything but the ground that reaches the border, and large holes."""

    # Half the contrast of the thing itself: its blurred edge is then cut in the middle.
    contrast = (
        float(np.median(away[away > _BACKGROUND_DISTANCE]))
        if (away > _BACKGROUND_DISTANCE).any()
        else 0.0
    )
    edge = max(_BACKGROUND_DISTANCE, 0.5 * contrast)
    ground = (away < edge).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ground, connectivity=4)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    open_ground = np.isin(labels, touching[touching > 0])
    # A hole shows the very ground; a light on the thing is small.
    holes = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] > _MIN_HOLE_AREA * away.size)
    through = np.isin(labels, holes[holes > 0]) & (away < _BACKGROUND_DISTANCE)
    solid = ~(open_ground | through)
    soft = np.clip((away / edge - 0.5), 0, 1).astype(np.float32)
    near_edge = cv2.dilate(solid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    core = cv2.erode(solid.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
    return np.where(core, 1, np.where(near_edge, soft, 0)).astype(np.float32)


def _nearest_object_mask(image: Image.Image, nearness: Array) -> Array:
    """What stands out of its surroundings towards the viewer."""

    height, width = nearness.shape
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    pixels = cv2.resize(np.asarray(image.convert("RGB")), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(nearness.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # A floor comes nearer towards the bottom: what counts is to stand out of one's own row.
    small = small - np.quantile(small, _FLOOR, axis=1, keepdims=True)
    levels = (np.clip(small, 0, 1) * 255).astype(np.uint8)
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    front = _central_component((levels > level).astype(np.uint8))
    if not front.any() or front.mean() > _MAX_AREA:
        raise NoSubjectFound(
            "nothing in the picture stands out before its ground: take a picture of one thing"
        )
    reach = max(3, round(max(size) / 40)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    told = np.full(front.shape, cv2.GC_PR_BGD, np.uint8)
    told[cv2.dilate(front, kernel, iterations=2) == 0] = cv2.GC_BGD
    told[front > 0] = cv2.GC_PR_FGD
    told[cv2.erode(front, kernel) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        told,
        None,
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        _GRABCUT_ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    found = _central_component(np.isin(told, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8))
    soft = cv2.GaussianBlur(found.astype(np.float32), (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))


def _central_component(mask: Array) -> Array:
    """The piece of ``mask`` that is large and near the middle, as 0 and 1."""

    count, labels, stats, middles = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    height, width = mask.shape
    off = np.abs(middles[1:] / (width, height) - 0.5).max(axis=1)
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA] * (1 - off)))
    return (labels == best).astype(np.uint8)


def _require_area(mask: Array, least: float = _MIN_AREA) -> Array:
    share = float((mask > 0.5).mean())
    if share < least:
        raise NoSubjectFound("the picture shows nothing but its ground: show one thing, larger")
    if share > _MAX_AREA:
        raise NoSubjectFound(
            "the thing fills the whole picture: leave some of its ground around it"
        )
    return mask
