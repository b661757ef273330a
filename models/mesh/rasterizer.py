"""Rasterize triangles on the CPU with NumPy, without a graphics card or OpenGL.

Every row of every triangle becomes a span of pixels, and a depth test keeps the nearest pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def rasterize(
    points: Array, faces: Array, size: tuple[int, int], *, closed: bool = False
) -> tuple[Array, Array, Array]:
    """Find the visible face of every covered pixel.

    ``points`` is float (n, 3): column and row in pixels, and inverse distance. ``faces`` is int
    (m, 3), vertex indices, counter-clockwise seen from outside. ``size`` is (height, width). Both
    sides of a face are drawn, because a mesh may be open; of a ``closed`` mesh only front faces can
    be visible, which saves half of the work.

    Returns three arrays with one row a covered pixel: int (k,) flat pixel indices, int (k,) face
    indices, and float32 (k, 3) barycentric coordinates, linear on the screen.
    """

    height, width = size
    corners = points[faces]  # face, corner, (column, row, inverse distance)
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # Rows count downwards, so a front face (counter-clockwise) has a negative area.
    drawn = np.flatnonzero(area < -1e-9 if closed else np.abs(area) > 1e-9)
    corners, area = corners[drawn], area[drawn]
    top = np.clip(np.ceil(corners[:, :, 1].min(axis=1) - 0.5), 0, height).astype(np.int64)
    end = np.clip(np.ceil(corners[:, :, 1].max(axis=1) - 0.5), 0, height).astype(np.int64)
    span_face, row = _ranges(top, end)  # one entry for each row of each face
    middle = row + 0.5
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for start, stop in ((0, 1), (1, 2), (2, 0)):
        a, b = corners[:, start], corners[:, stop]
        # Both faces of an edge start from the same end, so that they agree to the last bit.
        swap = (a[:, 1] > b[:, 1])[:, None]
        low, high = np.where(swap, b, a)[span_face], np.where(swap, a, b)[span_face]
        rise = high[:, 1] - low[:, 1]
        crossed = (low[:, 1] <= middle) & (middle < high[:, 1])
        at = low[:, 0] + (middle - low[:, 1]) * (high[:, 0] - low[:, 0]) / np.where(
            rise == 0, 1, rise
        )
        left = np.where(crossed, np.minimum(left, at), left)
        right = np.where(crossed, np.maximum(right, at), right)
    hit = left <= right
    span_face, row, left, right = span_face[hit], row[hit], left[hit], right[hit]
    span, column = _ranges(
        np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64),
        np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64),
    )
    face, row = span_face[span], row[span]
    pixel: Array = row * width + column
    # A quantity that is linear on the screen is a plane a face: offset, per column, per row.
    origin = corners[:, 0]
    to_b, to_c = corners[:, 1] - origin, corners[:, 2] - origin
    b_x, b_y = to_c[:, 1] / area, -to_c[:, 0] / area
    c_x, c_y = -to_b[:, 1] / area, to_b[:, 0] / area
    barycentric_b = np.stack([-origin[:, 0] * b_x - origin[:, 1] * b_y, b_x, b_y], axis=1)
    barycentric_c = np.stack([-origin[:, 0] * c_x - origin[:, 1] * c_y, c_x, c_y], axis=1)
    plane = barycentric_b * to_b[:, 2:] + barycentric_c * to_c[:, 2:]  # inverse distance
    plane[:, 0] += origin[:, 2]
    x, y = column + 0.5, row + 0.5
    nearness = _on(plane, face, x, y)
    nearest = np.zeros(height * width)
    np.maximum.at(nearest, pixel, nearness)
    visible = np.flatnonzero(nearness == nearest[pixel])
    pixel, face, x, y = pixel[visible], face[visible], x[visible], y[visible]
    second, third = _on(barycentric_b, face, x, y), _on(barycentric_c, face, x, y)
    barycentric = np.stack([1 - second - third, second, third], axis=1).astype(np.float32)
    return pixel, drawn[face], barycentric


def _on(planes: Array, face: Array, x: Array, y: Array) -> Array:
    values: Array = planes[face, 0]
    values += planes[face, 1] * x
    values += planes[face, 2] * y
    return values


def _ranges(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Concatenate ``range(starts[i], ends[i])`` for all i; return each value's i and the values."""

    lengths = np.maximum(ends - starts, 0)
    index = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    return index, np.arange(len(index)) - first[index] + starts[index]


def _cross(a: Array, b: Array) -> Array:
    product: Array = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product
