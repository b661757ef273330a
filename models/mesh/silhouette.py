"""Inflate an outline into a closed mesh.

The idea is Teddy's (Igarashi, Matsuoka and Tanaka, "Teddy: A Sketching Interface for 3D Freeform
Design", SIGGRAPH 1999). The height does not come from its chordal axis but is the root of the
solution of a Poisson equation: -laplacian f = 4, f = 0 on the outline, height sqrt(f). Over a disk
of radius r that is f = r^2 - d^2, exactly a ball; a long strip becomes a rounded bar. It needs no
weights.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL.Image import Image

from models.mesh.errors import EmptyMesh, MeshError
from models.mesh.mesh import Mesh

Array = np.ndarray[Any, Any]


_LEVEL = 0.5  # of the smoothed mask: where the outline runs
_SPECK = 0.01  # share of the largest piece below which a piece is dirt
_MIN_THETA = 0.05  # a boundary closer to a node than this makes the equations stiff


class InvalidMask(MeshError):
    """The mask or the depth map differs from the picture in size."""


def mesh_from_silhouette(
    image: Image, mask: Array, depth: Array | None = None, resolution: int = 40, edge_width: int = 1
) -> Mesh:
    """Build a closed mesh with the outline ``mask`` from the front and the colors of ``image``.

    ``mask`` is (height, width), bool or float 0..1. ``depth`` is float32 (height, width), larger is
    nearer, as :mod:`models.vision.depth` estimates it, and shapes the front. ``resolution`` is the
    number of cells along the longer side: 40 gives about 5,000 faces for a disk. ``edge_width`` is
    the width in pixels of the edge at which the picture mixes the object with its background. The
    mesh is watertight, of unit size, Y up and facing +Z; its back mirrors its front. Separate
    pieces stay separate.

    Raises:
        InvalidMask: the sizes of image, mask and depth differ.
        EmptyMesh: the mask is empty, or too thin for the resolution.
    """

    mask = np.asarray(mask, np.float32)
    if mask.shape != (image.height, image.width):
        raise InvalidMask(f"the mask is {mask.shape}, the picture {(image.height, image.width)}")
    if depth is not None and depth.shape != mask.shape:
        raise InvalidMask(f"the depth is {depth.shape}, the picture {mask.shape}")
    inside = _remove_specks(mask)
    field, origin, scale = _resample(inside, resolution)
    nodes = field > _LEVEL
    if not nodes.any():
        raise EmptyMesh("the outline is too thin to become a shape: give a larger mask")
    height = np.sqrt(_solve_poisson(field))
    points, ends, triangles = _triangulate(field)
    rim = ends[:, 0] != ends[:, 1]
    flat = height.ravel()
    z = np.where(rim, 0, flat[ends[:, 0]])
    place = (points + 0.5) / scale + origin - 0.5  # pixels of the picture: column, row
    colors = _sampled(_spread_colors(np.asarray(image.convert("RGB")), inside, edge_width), place)
    front = z if depth is None else z * _relief(depth, inside, place)
    # The rim belongs to both halves: that closes the surface.
    back = np.where(rim, np.arange(len(z)), np.cumsum(~rim) - 1 + len(z))
    return Mesh(
        np.concatenate([_upright(points, front), _upright(points[~rim], -z[~rim])]).astype(
            np.float32
        ),
        np.concatenate([triangles[:, ::-1], back[triangles]]).astype(np.int32),
        np.concatenate([colors, colors[~rim]]),
    ).normalized()


def _upright(points: Array, z: Array) -> Array:

    return np.stack([points[:, 0], -points[:, 1], z], axis=1)


def _remove_specks(mask: Array) -> Array:
    """Clear the pieces of ``mask`` (0..1) that are tiny compared with the largest."""

    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (mask > _LEVEL).astype(np.uint8), connectivity=4
    )
    if count < 2:
        raise EmptyMesh("the mask holds nothing: there is no outline to make a shape of")
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    large = areas >= _SPECK * areas.max()
    # Soft edges lie outside the pieces and stay; so do they between pieces that stay.
    dropped = ~large[labels] & (labels > 0)
    return np.where(dropped, 0, mask).astype(np.float32)


def _resample(mask: Array, resolution: int) -> tuple[Array, Array, float]:
    """Crop, smooth and scale ``mask``; return it with its origin in the picture and its scale."""

    rows, columns = np.nonzero(mask > _LEVEL)
    top, left = int(rows.min()), int(columns.min())
    longer = max(int(rows.max()) - top, int(columns.max()) - left) + 1
    scale = resolution / longer
    margin = int(np.ceil(3 / scale)) + 4  # room for the smoothing, and an outside all around
    padded = np.pad(mask, margin)[
        top : int(rows.max()) + 1 + 2 * margin, left : int(columns.max()) + 1 + 2 * margin
    ]
    # A blur of one pixel (or cell) removes the pixel staircase from the outline.
    smooth = cv2.GaussianBlur(padded, (0, 0), 1.2 * max(1.0, 1 / scale))
    field = cv2.resize(smooth, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    field[[0, -1]] = 0
    field[:, [0, -1]] = 0
    # A node exactly on the level would make a triangle without area.
    field[np.abs(field - _LEVEL) < 1e-3] = _LEVEL + 1e-3
    return field, np.array([left - margin, top - margin], np.float32), scale


def _solve_poisson(field: Array) -> Array:
    """Solve -laplacian f = 4 with f = 0 on the outline: float64 a node, 0 outside.

    Five-point differences, the outline's place between two nodes taken into account (Gibou et al.,
    "A Second-Order-Accurate Symmetric Discretization of the Poisson Equation on Irregular Domains",
    2002).
    """
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    inside = field > _LEVEL
    weight = np.zeros(field.shape)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        neighbor = np.roll(field, -step, axis)
        theta = (field - _LEVEL) / np.where(field == neighbor, 1, field - neighbor)
        weight += np.where(neighbor > _LEVEL, 1, 1 / np.clip(theta, _MIN_THETA, 1))
    count = np.count_nonzero(inside)
    number = np.zeros(field.shape, np.intp)
    number[inside] = np.arange(count)
    starts, ends = [], []
    for axis in (0, 1):
        linked = inside & np.roll(inside, -1, axis)  # nothing touches the frame, so none wraps
        starts.append(number[linked])
        ends.append(np.roll(number, -1, axis)[linked])
    start, end = np.concatenate(starts), np.concatenate(ends)
    links = sparse.coo_array((np.ones(len(start)), (start, end)), shape=(count, count))
    equations = sparse.diags_array(weight[inside]) - links - links.T
    solution = np.zeros(field.shape)
    solution[inside] = spsolve(equations.tocsc(), np.full(count, 4.0))
    return np.maximum(solution, 0)


def _triangulate(field: Array) -> tuple[Array, Array, Array]:
    """Triangulate the area above the level by marching triangles, which have no ambiguous case.

    Returns points (n, 2) as column and row, the two nodes (flat index) each lies between (the same
    twice for a node), and triangles (m, 3), clockwise on the screen.
    """

    rows, columns = field.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    corners = np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    values = field.ravel()
    above = values[corners] > _LEVEL
    count = above.sum(axis=1)
    whole = corners[count == 3]
    triangles = [np.stack([whole, whole], axis=-1)]  # each corner as a pair of nodes
    for number in (1, 2):
        cut, lone_value = corners[count == number], number == 1
        # Turn each so that the corner that differs comes first.
        first = np.argmax(above[count == number] == lone_value, axis=1)
        p, q, r = (cut[np.arange(len(cut)), (first + k) % 3] for k in range(3))
        pp, qq, rr = (np.stack([v, v], axis=-1) for v in (p, q, r))
        pq, pr = np.sort(np.stack([p, q], -1)), np.sort(np.stack([p, r], -1))
        if lone_value:
            triangles.append(np.stack([pp, pq, pr], axis=1))
        else:
            triangles.append(np.stack([pq, qq, rr], axis=1))
            triangles.append(np.stack([pq, rr, pr], axis=1))
    pairs = np.concatenate(triangles)
    ends, faces = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    low, high = values[ends[:, 0]], values[ends[:, 1]]
    fraction = np.where(low == high, 0, (_LEVEL - low) / np.where(low == high, 1, high - low))
    start, stop = (np.stack([e % columns, e // columns], axis=-1) for e in ends.T)
    return start + (stop - start) * fraction[:, None], ends, faces.reshape(-1, 3)


def _spread_colors(pixels: Array, inside: Array, blur: int) -> Array:
    """Spread the colors inside the mask outwards, so that no edge pixel mixes in the background."""

    whole = (inside > _LEVEL).astype(np.uint8)
    depth = cv2.distanceTransform(np.pad(whole, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    # A thin object has no pixel deeper inside than its own middle.
    core = (depth > min(blur, float(depth.max()) / 2)).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(
        1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    color_of = np.zeros((labels.max() + 1, 3), np.uint8)
    color_of[labels[core > 0]] = pixels[core > 0]
    spread = color_of[labels]
    # Spreading leaves streaks of color; a blur removes them.
    smooth = cv2.GaussianBlur(spread, (0, 0), 0.6 * blur)
    return np.where(core[..., None] > 0, spread, smooth)


def _sampled(values: Array, place: Array) -> Array:

    at = place.astype(np.float32)
    return cv2.remap(
        values, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(len(place), *values.shape[2:])


def _relief(depth: Array, inside: Array, place: Array) -> Array:
    """Return a factor on the height of each front point: 0.6 to 1.4, about 1 on average."""

    within = depth[inside > _LEVEL]
    spread = float(within.max() - within.min())
    if spread == 0:
        return np.ones(len(place))
    smooth = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), 1.0)
    relative = (_sampled(smooth, place) - float(within.mean())) / spread
    return 1 + np.clip(0.8 * relative, -0.4, 0.4)
