"""Split a photo and its depth map into layers, each extended behind the nearer ones.

The method follows layered depth images (Shade et al., "Layered Depth Images", SIGGRAPH 1998) with
soft layers (Zhou et al., "Stereo Magnification", 2018). Depth is smooth within a layer, so a layer
bends without tearing. Where a nearer object hides a farther one, push-pull interpolation (Gortler
et al., "The Lumigraph", 1996) extends the farther layer's colors and depth behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
RgbImage = npt.NDArray[np.uint8]  # (height, width, 3)
BoolMask = npt.NDArray[np.bool_]

# Pixels on each side of an edge that mix the colors of both objects, in a sharp photo.
DEFAULT_EDGE_WIDTH = 2
_JUMP = 0.06  # a difference of nearness that is an edge between two objects, not a slope
_OVERLAP = 0.5  # of a layer's thickness: neighbors share these pixels, so that no gap opens
_SURE = 0.3  # of the way from the middle of a ramp: surely one side
_SAME = 4.0  # CIE Lab units below which two colors count as equal
_HARD = 6.0  # how sharp a layer's hidden edges are
_SEEN = 1 / 512  # less coverage than this changes no pixel


@dataclass(frozen=True, eq=False)
class Layer:
    """One depth range of a scene.

    ``premultiplied_rgba`` is float32 (height, width, 4): RGB 0..255 times coverage, then coverage
    0..1. ``nearness`` is float32 (height, width), 0 farthest to 1 nearest, smooth, and extended
    beyond the covered pixels; ``farthest`` and ``nearest`` are its minimum and maximum. ``top``,
    ``bottom``, ``left`` and ``right`` bound the covered pixels; bottom and right are exclusive.
    """

    premultiplied_rgba: FloatArray
    nearness: FloatArray
    farthest: float
    nearest: float
    top: int
    bottom: int
    left: int
    right: int


def split_into_layers(
    picture: RgbImage, nearness: FloatArray, count: int = 8, edge_width: int = DEFAULT_EDGE_WIDTH
) -> Iterator[Layer]:
    """Yield the layers of ``picture``, the farthest first.

    ``picture`` is uint8 RGB (height, width, 3). ``nearness`` is float32 (height, width), 0 farthest
    to 1 nearest; its edges are moved to those of the picture. ``edge_width`` is the width of the
    picture's edges in pixels; an enlarged picture has wider ones. The nearness range is divided
    into ``count`` layers. The farthest covers everything, and empty layers are left out.
    """

    sharp = sharpen_depth_edges(picture, nearness, edge_width)
    edge = _mixed_pixels(sharp, edge_width)
    thickness = 1.0 / count
    behind = False
    for number in range(count):
        low, high = number * thickness, (number + 1) * thickness
        if not ((sharp >= low) & (sharp < high + (number == count - 1))).any():
            continue
        overlap = _OVERLAP * thickness
        # The farthest layer lies behind everything.
        whole = np.ones_like(sharp)
        coverage = np.clip((sharp - low) / overlap + 1, 0, 1) if behind else whole
        layer = _layer(picture, sharp, coverage, sharp <= high + overlap, edge, edge_width)
        if layer is not None:
            behind = True
            yield layer


def _layer(
    picture: RgbImage,
    nearness: FloatArray,
    coverage: FloatArray,
    unhidden: BoolMask,
    edge: BoolMask,
    edge_width: int,
) -> Layer | None:
    """Build a layer, or return ``None`` if it covers no pixel.

    ``unhidden`` marks the pixels that no nearer layer hides; ``edge`` marks those that mix the
    colors of two objects.
    """

    # Hidden pixels and pixels that mix two objects do not show this layer's colors.
    known_mask = (unhidden & (coverage > 0.01) & ~edge).astype(np.float32)
    if not known_mask.any():
        known_mask = (unhidden & (coverage > 0.01)).astype(np.float32)
    color_and_nearness = np.dstack([picture.astype(np.float32), nearness[..., None]])
    filled = _extrapolate(color_and_nearness, known_mask, edge_width)
    # Behind nearer layers, coverage is extended from the visible surroundings.
    reached = push_pull_fill(coverage[..., None], unhidden.astype(np.float32))[..., 0]
    reached = np.clip((reached - 0.5) * _HARD + 0.5, 0, 1)
    soft = cv2.GaussianBlur(np.where(unhidden, coverage, reached), (0, 0), 0.7)
    paint = np.dstack([filled[..., :3] * soft[..., None], soft]).astype(np.float32)
    smooth = cv2.GaussianBlur(filled[..., 3], (0, 0), 1.5)
    if soft.max() <= _SEEN:
        return None
    rows, columns = (np.flatnonzero(soft.max(axis=axis) > _SEEN) for axis in (1, 0))
    return Layer(
        paint,
        smooth,
        float(smooth.min()),
        float(smooth.max()),
        int(rows[0]),
        int(rows[-1]) + 1,
        int(columns[0]),
        int(columns[-1]) + 1,
    )


def _extrapolate(values: FloatArray, known_mask: FloatArray, edge_width: int) -> FloatArray:
    """Extend ``values`` beyond the pixels where ``known_mask`` is 1.

    Pixels near the border of the known area take the nearest value, farther ones a smooth blend:
    push-pull alone would mix a thin object's edge with large objects around it.
    """

    smooth = push_pull_fill(values, known_mask)
    if known_mask.all() or not known_mask.any():
        return smooth
    away, labels = cv2.distanceTransformWithLabels(
        (known_mask == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros((int(labels.max()) + 1, values.shape[2]), np.float32)
    nearest[labels[known_mask > 0]] = values[known_mask > 0]
    close = cv2.GaussianBlur(nearest[labels], (0, 0), 0.5 * edge_width)
    closeness = np.clip(2 - away / (1.5 * edge_width), 0, 1)[..., None]
    mixed = smooth + (close - smooth) * closeness
    return np.where(known_mask[..., None] > 0, values, mixed)


def sharpen_depth_edges(
    picture: RgbImage, nearness: FloatArray, edge_width: int = DEFAULT_EDGE_WIDTH
) -> FloatArray:
    """Replace the ramps between objects in ``nearness`` by steps at the picture's edges.

    ``picture`` is uint8 RGB (height, width, 3), ``nearness`` float32 (height, width) in 0..1, and
    so is the result. Depth models predict edges as ramps that are many pixels wide and slightly
    displaced; rendered so, a curtain would hang between an object and its background. Where
    nearness jumps within a few pixels, each pixel takes the level of the side that its depth and
    its color resemble.
    """

    radius = max(3, round(max(nearness.shape) / 64), 2 * edge_width)
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    nearness = nearness.astype(np.float32)
    low, high = cv2.erode(nearness, around), cv2.dilate(nearness, around)
    jump = high - low
    steep = jump > _JUMP * 2
    if not steep.any():
        return nearness
    place = (nearness - low) / np.maximum(jump, 1e-6) - 0.5  # -0.5 on the far side, 0.5 on the near
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    color_and_nearness = np.dstack([lab, nearness])
    unlike, levels = [], []
    for side, beyond in ((place < -_SURE, low), (place > _SURE, high)):
        weight = (side & steep).astype(np.float32)
        total = cv2.boxFilter(weight, -1, (4 * radius + 1,) * 2, normalize=False)
        mean = cv2.boxFilter(
            color_and_nearness * weight[..., None], -1, (4 * radius + 1,) * 2, normalize=False
        )
        mean /= np.maximum(total, 1e-6)[..., None]
        unlike.append(np.where(total > 0.5, np.linalg.norm(lab - mean[..., :3], axis=2), 0))
        levels.append(np.where(total > 0.5, mean[..., 3], beyond))
    far, close = unlike
    score = (far - close) / (far + close + _SAME)  # -1 as the far side, 1 as the near one
    score = cv2.GaussianBlur(score.astype(np.float32), (0, 0), max(0.8, edge_width / 2))
    # In the middle of a ramp depth does not tell the side, so color decides there.
    towards = 4 * place * np.abs(place) + 0.5 * score
    stepped = np.where(towards > 0, levels[1], levels[0])
    sharp = np.where(steep & _is_edge(nearness, radius), stepped, nearness)
    return np.clip(cv2.medianBlur(sharp.astype(np.float32), 5), 0, 1)


def _is_edge(nearness: FloatArray, radius: int) -> BoolMask:
    """Mark the pixels where nearness changes faster than around them: an edge, not a slope."""

    # A slope goes on beyond the picture: cut off there, it would look like an edge.
    room = min(2 * radius, min(nearness.shape) - 1)
    wide = np.pad(nearness, room, mode="reflect", reflect_type="odd")
    inside = (slice(room, -room),) * 2

    def span(size: int) -> FloatArray:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
        return np.asarray(cv2.dilate(wide, kernel) - cv2.erode(wide, kernel))[inside]

    # On an even slope twice the width holds twice the difference.
    return span(radius) > 0.75 * span(2 * radius)


def _mixed_pixels(nearness: FloatArray, edge_width: int) -> BoolMask:
    """Mark the pixels at edges between objects, which mix the colors of both."""

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge_width + 1, 2 * edge_width + 1))
    return np.asarray(cv2.dilate(nearness, kernel) - cv2.erode(nearness, kernel) > _JUMP)


def push_pull_fill(values: FloatArray, known_mask: FloatArray) -> FloatArray:
    """Fill the unknown pixels of ``values`` smoothly from the known ones around them.

    ``values`` is float32 (height, width, channels) in any unit; ``known_mask`` is float32 (height,
    width), 1 where the value is kept and 0 where it is to be filled. The result has the shape of
    ``values``.
    """

    height, width = known_mask.shape
    levels = [(values * known_mask[..., None], known_mask)]
    while min(levels[-1][1].shape) > 1 and (levels[-1][1] < 1e-3).any():
        total, weight = levels[-1]
        total, weight = cv2.pyrDown(total), cv2.pyrDown(weight)
        if total.ndim == 2:
            total = total[..., None]
        # A few known pixels are enough to know the coarser one.
        gain = np.minimum(1, weight) / np.maximum(weight, 1e-6)
        levels.append((total * gain[..., None], weight * gain))
    total, weight = levels[-1]
    filled = total / np.maximum(weight, 1e-6)[..., None]
    for total, weight in reversed(levels[:-1]):
        rows, columns = weight.shape
        filled = cv2.resize(filled, (columns, rows), interpolation=cv2.INTER_LINEAR)
        if filled.ndim == 2:
            filled = filled[..., None]
        filled = total + filled * (1 - np.minimum(weight, 1))[..., None]
    return np.asarray(filled[:height, :width])
