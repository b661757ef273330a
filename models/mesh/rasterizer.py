"""Triangles as pixels, on the CPU: no graphics card, no GL.

Every row of every triangle becomes a span of pixels, and the nearest pixel wins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def rasterize(
    points: Array, faces: Array, size: tuple[int, int], *, closed: bool = False
) -> tuple[Array, Array, Array]:
    """Which face is seen where: flat pixel indices, faces, and the face's corners' shares (n, 3).

    ``points`` (n, 3) are column, row and inverse distance; ``size`` is height and width. Both sides
    of a face are drawn, since a mesh may be open; of a ``closed`` one only what looks at us can be
    seen, and half of the work is saved.
    """

    height, width = size
    corners = points[faces]  # face, corner, (column, row, inverse distance)
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # Rows count downwards: a face that is counter-clockwise to us has a negative area.
    kept = np.flatnonzero(area < -1e-9 if closed else np.abs(area) > 1e-9)
    corners, area = corners[kept], area[kept]
    top = np.clip(np.ceil(corners[:, :, 1].min(axis=1) - 0.5), 0, height).astype(np.int64)
    end = np.clip(np.ceil(corners[:, :, 1].max(axis=1) - 0.5), 0, height).astype(np.int64)
    owner, row = _ranges(top, end)  # one entry for each row of each face
    middle = row + 0.5
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for start, stop in ((0, 1), (1, 2), (2, 0)):
        a, b = corners[:, start], corners[:, stop]
        # The same end first for both faces of an edge: they must agree to the last bit.
        swap = (a[:, 1] > b[:, 1])[:, None]
        low, high = np.where(swap, b, a)[owner], np.where(swap, a, b)[owner]
        rise = high[:, 1] - low[:, 1]
        crossed = (low[:, 1] <= middle) & (middle < high[:, 1])
        at = low[:, 0] + (middle - low[:, 1]) * (high[:, 0] - low[:, 0]) / np.where(
            rise == 0, 1, rise
        )
        left = np.where(crossed, np.minimum(left, at), left)
        right = np.where(crossed, np.maximum(right, at), right)
    hit = left <= right
    owner, row, left, right = owner[hit], row[hit], left[hit], right[hit]
    span, column = _ranges(
        np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64),
        np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64),
    )
    face, row = owner[span], row[span]
    pixel: Array = row * width + column
    # What is linear over the screen is a plane for each face: start, per column, per row.
    origin = corners[:, 0]
    to_b, to_c = corners[:, 1] - origin, corners[:, 2] - origin
    b_x, b_y = to_c[:, 1] / area, -to_c[:, 0] / area
    c_x, c_y = -to_b[:, 1] / area, to_b[:, 0] / area
    share_b = np.stack([-origin[:, 0] * b_x - origin[:, 1] * b_y, b_x, b_y], axis=1)
    share_c = np.stack([-origin[:, 0] * c_x - origin[:, 1] * c_y, c_x, c_y], axis=1)
    plane = share_b * to_b[:, 2:] + share_c * to_c[:, 2:]  # inverse distance
    plane[:, 0] += origin[:, 2]
    x, y = column + 0.5, row + 0.5
    nearness = _on(plane, face, x, y)
    nearest = np.zeros(height * width)
    np.maximum.at(nearest, pixel, nearness)
    won = np.flatnonzero(nearness == nearest[pixel])
    pixel, face, x, y = pixel[won], face[won], x[won], y[won]
    second, third = _on(share_b, face, x, y), _on(share_c, face, x, y)
    shares = np.stack([1 - second - third, second, third], axis=1).astype(np.float32)
    return pixel, kept[face], shares


def _on(planes: Array, face: Array, x: Array, y: Array) -> Array:
    values: Array = planes[face, 0]
    values += planes[face, 1] * x
    values += planes[face, 2] * y
    return values


def _ranges(starts: Array, ends: Array) -> tuple[Array, Array]:
    """``starts[i], ..., ends[i] - 1`` for all i in one array, and the i of each."""

    lengths = np.maximum(ends - starts, 0)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) - first[owner] + starts[owner]


def _cross(a: Array, b: Array) -> Array:
    product: Array = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product
