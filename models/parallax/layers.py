"""A photo and its depth cut into layers, each continued behind what stands before it.

After layered depth images (Shade et al., "Layered Depth Images", SIGGRAPH 1998) with soft layers
(Zhou et al., "Stereo Magnification", 2018). Inside a layer depth is smooth, so that it bends
without tearing; where things stand before one another the farther layer goes on behind the nearer
one, its colours and its depth continued by push-pull (Gortler et al., "The Lumigraph", 1996).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]


DEFAULT_EDGE_WIDTH = (
    2  # pixels on each side of an edge that hold some of both colours, in a sharp photo
)
_JUMP = 0.06  # a difference of nearness that is an edge between two things, not a slope
_OVERLAP = 0.5  # of a layer's thickness: neighbours share these pixels, so that no gap opens
_SURE = 0.3  # of the way from the middle of a ramp: surely one side
_SAME = 4.0  # CIE Lab units that are no difference
_HARD = 6.0  # how sharp the edges are that a layer has behind others
_SEEN = 1 / 512  # less coverage than this changes no pixel


@dataclass(frozen=True, eq=False)
class Layer:
    """One thickness of a scene, far ones first in a list.

    ``premultiplied_rgba`` is float32 (height, width, 4): RGB 0..255 times coverage, and coverage
    0..1; ``nearness`` float32 (height, width): nearness, smooth, and continued beyond what is
    covered. ``farthest`` and ``nearest`` bound that; ``top`` and ``bottom``, ``left`` and ``right``
    what is covered.
    """

    premultiplied_rgba: Array
    nearness: Array
    farthest: float
    nearest: float
    top: int
    bottom: int
    left: int
    right: int


def split_into_layers(
    picture: Array, nearness: Array, count: int = 8, edge_width: int = DEFAULT_EDGE_WIDTH
) -> Iterator[Layer]:
    """The layers of ``picture`` (uint8 RGB, height x width x 3), one by one, the farthest first.

    ``nearness`` is float32, height x width, 0..1, larger is nearer; its edges are moved to those of
    the picture. ``edge_width`` is how many pixels wide those are (more in a picture that was
    enlarged). The farthest layer covers everything. Layers that would be empty are left out.
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
        # The farthest layer that there is lies behind everything.
        whole = np.ones_like(sharp)
        coverage = np.clip((sharp - low) / overlap + 1, 0, 1) if behind else whole
        layer = _layer(picture, sharp, coverage, sharp <= high + overlap, edge, edge_width)
        if layer is not None:
            behind = True
            yield layer


def _layer(
    picture: Array, nearness: Array, coverage: Array, own: Array, edge: Array, edge_width: int
) -> Layer | None:
    """``own`` are the pixels that are not behind something nearer."""

    # What is farther than this layer says nothing of its colours; nor do pixels of two things.
    known = (own & (coverage > 0.01) & ~edge).astype(np.float32)
    if not known.any():
        known = (own & (coverage > 0.01)).astype(np.float32)
    seen = np.dstack([picture.astype(np.float32), nearness[..., None]])
    filled = _extrapolate(seen, known, edge_width)
    # How far the layer goes on behind what is nearer: as its visible surroundings do.
    reached = push_pull_fill(coverage[..., None], own.astype(np.float32))[..., 0]
    reached = np.clip((reached - 0.5) * _HARD + 0.5, 0, 1)
    soft = cv2.GaussianBlur(np.where(own, coverage, reached), (0, 0), 0.7)
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


def _extrapolate(values: Array, known: Array, edge_width: int) -> Array:
    """``values`` beyond what is ``known``: close by as the nearest pixel, farther off smoothly.

    Push-pull alone would mix a thin thing's edge with whatever is large around it.
    """

    smooth = push_pull_fill(values, known)
    if known.all() or not known.any():
        return smooth
    away, labels = cv2.distanceTransformWithLabels(
        (known == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros((int(labels.max()) + 1, values.shape[2]), np.float32)
    nearest[labels[known > 0]] = values[known > 0]
    close = cv2.GaussianBlur(nearest[labels], (0, 0), 0.5 * edge_width)
    share = np.clip(2 - away / (1.5 * edge_width), 0, 1)[..., None]
    mixed = smooth + (close - smooth) * share
    return np.where(known[..., None] > 0, values, mixed)


def sharpen_depth_edges(
    picture: Array, nearness: Array, edge_width: int = DEFAULT_EDGE_WIDTH
) -> Array:
    """``nearness`` with the ramps between things made steps, where the picture has its edges.

    Depth models see coarsely: their edges are ramps many pixels wide and a little beside the true
    ones; drawn so, there would be a curtain between a thing and what is behind it. Where nearness
    jumps within a few pixels, each pixel goes to the side that its depth and its colour are like.
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
    seen = np.dstack([lab, nearness])
    unlike, levels = [], []
    for side, beyond in ((place < -_SURE, low), (place > _SURE, high)):
        weight = (side & steep).astype(np.float32)
        total = cv2.boxFilter(weight, -1, (4 * radius + 1,) * 2, normalize=False)
        mean = cv2.boxFilter(seen * weight[..., None], -1, (4 * radius + 1,) * 2, normalize=False)
        mean /= np.maximum(total, 1e-6)[..., None]
        unlike.append(np.where(total > 0.5, np.linalg.norm(lab - mean[..., :3], axis=2), 0))
        levels.append(np.where(total > 0.5, mean[..., 3], beyond))
    far, close = unlike
    score = (far - close) / (far + close + _SAME)  # -1 as the far side, 1 as the near one
    score = cv2.GaussianBlur(score.astype(np.float32), (0, 0), max(0.8, edge_width / 2))
    # The middle of a ramp says nothing of the side; its ends are sure.
    towards = 4 * place * np.abs(place) + 0.5 * score
    stepped = np.where(towards > 0, levels[1], levels[0])
    sharp = np.where(steep & _is_edge(nearness, radius), stepped, nearness)
    return np.clip(cv2.medianBlur(sharp.astype(np.float32), 5), 0, 1)


def _is_edge(nearness: Array, radius: int) -> Array:
    """Where the nearness changes faster than beside it: an edge, not a long slope."""

    # A slope goes on beyond the picture: cut off there, it would look like an edge.
    room = min(2 * radius, min(nearness.shape) - 1)
    wide = np.pad(nearness, room, mode="reflect", reflect_type="odd")
    inside = (slice(room, -room),) * 2

    def span(size: int) -> Array:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
        return np.asarray(cv2.dilate(wide, kernel) - cv2.erode(wide, kernel))[inside]

    # On an even slope twice the width holds twice the difference.
    return span(radius) > 0.75 * span(2 * radius)


def _mixed_pixels(nearness: Array, edge_width: int) -> Array:
    """Pixels at the edges between things, which hold some of both colours."""

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge_width + 1, 2 * edge_width + 1))
    return np.asarray(cv2.dilate(nearness, kernel) - cv2.erode(nearness, kernel) > _JUMP)


def push_pull_fill(values: Array, known: Array) -> Array:
    """``values`` (height, width, channels) where ``known`` is 1; elsewhere smoothly from around."""

    height, width = known.shape
    levels = [(values * known[..., None], known)]
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
