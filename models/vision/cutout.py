"""Cut the main subject of a picture out of its background.

A plain background is recognized by its color at the picture's border. Before a busy background the
subject is the nearest object of the depth map, and GrabCut (Rother, Kolmogorov and Blake, 2004)
refines its outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Array = np.ndarray[Any, Any]
FloatArray = npt.NDArray[np.float32]

_BORDER = 0.04  # of the shorter side: the border from which the background color is estimated
_PLAIN_FRACTION = 0.85  # of the border must have one color
_BACKGROUND_DISTANCE = 10.0  # CIE Lab units around the background color that still count as it
_MIN_AREA = 0.004  # of the picture: a smaller area is no subject
# Before a busy background: depth is too coarse for less, and noise has many such areas.
_MIN_AREA_ON_BUSY = 0.03
_MAX_AREA = 0.97
_MIN_HOLE_AREA = 0.006  # of the picture: a larger patch of background color is a hole
_WORKING_SIDE = 384  # pixels a side at which GrabCut is run: it takes seconds for a large photo
_GRABCUT_ROUNDS = 4
_FLOOR = 0.2  # quantile of a row's nearness that is taken as the background behind the subject


class NoSubjectFound(ValueError):
    """The picture shows no single subject; the message says which picture would do."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """The mask of the subject and the method that found it.

    ``mask`` is float32 (height, width), 0..1: 1 inside the subject, soft at its edge.
    ``background_kind`` is ``transparent``, ``plain`` or ``depth``.
    """

    mask: FloatArray
    background_kind: str


def extract_subject(image: Image.Image, nearness: FloatArray | None = None) -> Cutout:
    """Find the main subject of ``image``.

    ``image`` is RGB, or RGBA, where a transparent background decides. ``nearness`` is float32
    (height, width), 0 farthest to 1 nearest, as :mod:`models.vision.depth` estimates it; only a
    background that is not plain needs it.

    Raises:
        NoSubjectFound: the picture has a single color, or its background is not plain and the depth
            map is missing or shows no object.
    """

    if image.mode == "RGBA":
        alpha = np.asarray(image.getchannel("A"), np.float32) / 255
        if alpha.min() < 0.5:
            return Cutout(_require_area(alpha), "transparent")
    lab = _lab(image)
    distance = _distance_from_background(lab)
    if distance is not None:
        return Cutout(_require_area(_subject_mask(distance)), "plain")
    if nearness is None:
        raise NoSubjectFound(
            "the ground behind the thing is not plain: take a picture of one thing before one"
            " colour, or one whose ground is transparent"
        )
    return Cutout(_require_area(_nearest_object_mask(image, nearness), _MIN_AREA_ON_BUSY), "depth")


def needs_depth(image: Image.Image) -> bool:
    """Whether :func:`extract_subject` needs the depth map of ``image``."""
    if image.mode == "RGBA" and min(image.getchannel("A").tobytes()) < 128:
        return False
    return _distance_from_background(_lab(image)) is None


def place_on_background(
    image: Image.Image, mask: FloatArray, background: tuple[int, int, int], margin: float
) -> Image.Image:
    """Paste the subject into the middle of a square of the RGB color ``background``.

    ``mask`` is float32 (height, width), 0..1. ``margin`` is the fraction of the square's side that
    stays free on each side.
    """

    rows, columns = np.nonzero(mask > 0.5)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    subject = image.convert("RGB").crop(box)
    soft = Image.fromarray((mask * 255).round().astype(np.uint8)).crop(box)
    side = round(max(subject.size) / (1 - 2 * margin))
    square = Image.new("RGB", (side, side), background)
    square.paste(subject, ((side - subject.width) // 2, (side - subject.height) // 2), soft)
    return square


def _lab(image: Image.Image) -> Array:

    pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB))


def _distance_from_background(lab: Array) -> Array | None:
    """Return each pixel's CIE Lab distance from the background color; ``None`` if it is not plain.

    The background may get lighter or darker across the picture: a plane is fitted to the border.
    """

    height, width = lab.shape[:2]
    thick = max(1, round(min(height, width) * _BORDER))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    border = np.ones((height, width), bool)
    border[thick:-thick, thick:-thick] = False
    planes = np.stack([np.ones_like(rows), rows / height - 0.5, columns / width - 0.5], axis=-1)
    samples, colors = planes[border], lab[border]
    middle = np.median(colors, axis=0)
    inliers = np.linalg.norm(colors - middle, axis=1) < 3 * _BACKGROUND_DISTANCE
    if inliers.mean() < _PLAIN_FRACTION:
        return None
    fit, *_ = np.linalg.lstsq(samples[inliers], colors[inliers], rcond=None)
    distance: Array = np.linalg.norm(lab - planes @ fit, axis=2)
    return distance if (distance[border] < _BACKGROUND_DISTANCE).mean() >= _PLAIN_FRACTION else None


def _subject_mask(distance: Array) -> Array:
    """Return a soft mask of all but large holes and the background that touches the border."""

    # Half of the subject's contrast, so that a blurred edge is cut in its middle.
    contrast = (
        float(np.median(distance[distance > _BACKGROUND_DISTANCE]))
        if (distance > _BACKGROUND_DISTANCE).any()
        else 0.0
    )
    edge = max(_BACKGROUND_DISTANCE, 0.5 * contrast)
    background = (distance < edge).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    outer_background = np.isin(labels, touching[touching > 0])
    # A hole shows the background color itself; a highlight on the subject is small.
    holes = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] > _MIN_HOLE_AREA * distance.size)
    through = np.isin(labels, holes[holes > 0]) & (distance < _BACKGROUND_DISTANCE)
    solid = ~(outer_background | through)
    soft = np.clip((distance / edge - 0.5), 0, 1).astype(np.float32)
    near_edge = cv2.dilate(solid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    core = cv2.erode(solid.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
    return np.where(core, 1, np.where(near_edge, soft, 0)).astype(np.float32)


def _nearest_object_mask(image: Image.Image, nearness: Array) -> Array:
    """Return a soft mask of the object that is nearer than its surroundings."""

    height, width = nearness.shape
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    pixels = cv2.resize(np.asarray(image.convert("RGB")), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(nearness.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # A floor gets nearer towards the bottom, so nearness is compared within each row.
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
    grabcut_mask = np.full(front.shape, cv2.GC_PR_BGD, np.uint8)
    grabcut_mask[cv2.dilate(front, kernel, iterations=2) == 0] = cv2.GC_BGD
    grabcut_mask[front > 0] = cv2.GC_PR_FGD
    grabcut_mask[cv2.erode(front, kernel) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        grabcut_mask,
        None,
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        _GRABCUT_ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    subject = _central_component(
        np.isin(grabcut_mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    )
    soft = cv2.GaussianBlur(subject.astype(np.float32), (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))


def _central_component(mask: Array) -> Array:
    """Return the component of ``mask`` that is largest and most central, as 0 and 1."""

    count, labels, stats, middles = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    height, width = mask.shape
    offset = np.abs(middles[1:] / (width, height) - 0.5).max(axis=1)
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA] * (1 - offset)))
    return (labels == best).astype(np.uint8)


def _require_area(mask: Array, min_fraction: float = _MIN_AREA) -> Array:
    fraction = float((mask > 0.5).mean())
    if fraction < min_fraction:
        raise NoSubjectFound("the picture shows nothing but its ground: show one thing, larger")
    if fraction > _MAX_AREA:
        raise NoSubjectFound(
            "the thing fills the whole picture: leave some of its ground around it"
        )
    return mask
