"""A mesh turning before a still camera, drawn on the CPU: no graphics card, no GL.

A z-buffer rasteriser in numpy: every row of every triangle becomes a span of pixels, the nearest
pixel wins, and only winners are shaded (colour and normal interpolated with perspective). Light is
Lambert's, from over the viewer's left shoulder, plus ambient. Edges are smoothed by drawing larger
and averaging.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from models.mesh import Mesh, vertex_normals

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    Array = np.ndarray[Any, Any]

Color = tuple[int, int, int]

_FIELD_OF_VIEW = math.radians(30)
_MARGIN = 1.2  # of the ball around the mesh, so that it never touches the frame
_LIGHT = (-0.45, 0.65, 0.62)  # towards it: left, up, to the viewer
_SHADOW = 0.45  # how much of the ground's light it takes


class BadView(ValueError):
    """The camera, the size or the time cannot be drawn."""


@dataclass(frozen=True)
class View:
    """How the mesh is looked at. ``elevation`` in degrees above the horizon; ``background`` one
    colour, or two for a gradient from top to bottom; ``samples`` per pixel and direction.

    Raises:
        BadView: a size under 8 pixels, a camera straight above or below, no samples.
    """

    width: int = 256
    height: int = 256
    elevation: float = 20.0
    background: Color | tuple[Color, Color] = ((242, 244, 248), (196, 202, 212))
    ambient: float = 0.45
    shadow: bool = True
    samples: int = 2

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 8:
            raise BadView(f"{self.width}x{self.height} is too small: at least 8x8 pixels")
        if not -89 <= self.elevation <= 89:
            raise BadView(f"elevation {self.elevation} is outside -89..89 degrees")
        if not 1 <= self.samples <= 4:
            raise BadView(f"{self.samples} samples a pixel and direction: 1 to 4 are possible")


@dataclass(frozen=True)
class Orbit:
    """The way round: ``seconds`` at ``fps``, ``turns`` (negative: the other way) from ``start``
    (degrees; 0 shows the front).

    With ``loop`` the last frame is the one before the first, so that a film can repeat; without,
    the last frame shows the end. ``smooth`` starts and stops gently.
    """

    seconds: float = 4.0
    fps: float = 24.0
    turns: float = 1.0
    start: float = 0.0
    easing: Literal["linear", "smooth"] = "linear"
    loop: bool = True

    def angles(self) -> list[float]:
        """The angle of each frame in degrees.

        Raises:
            BadView: there would be no frame.
        """
        count = round(self.seconds * self.fps)
        if count < 1:
            raise BadView(f"{self.seconds} s at {self.fps} frames a second is no frame at all")
        last = count if self.loop else max(count - 1, 1)
        times = [number / last for number in range(count)]
        if self.easing == "smooth":
            times = [t * t * (3 - 2 * t) for t in times]
        return [self.start + 360 * self.turns * t for t in times]


def turntable(mesh: Mesh, view: View, orbit: Orbit) -> Iterator[Array]:
    """The frames in turn: uint8 RGB, height x width x 3.

    Raises:
        BadView: the orbit has no frame.
    """
    scene = Scene(mesh, view)
    for angle in orbit.angles():
        yield scene.render(angle)


class Scene:
    """A mesh made ready to be seen from any side; the camera keeps its distance."""

    def __init__(self, mesh: Mesh, view: View) -> None:
        import numpy as np

        self.view = view
        unit = mesh.normalised()
        self._vertices = unit.vertices.astype(np.float64)
        self._faces = unit.faces
        self._colors = unit.colors.astype(np.float32)
        self._normals = vertex_normals(unit)
        self._size = (view.height * view.samples, view.width * view.samples)
        self._focal = 0.5 * min(self._size) / math.tan(_FIELD_OF_VIEW / 2)
        radius = float(np.linalg.norm(self._vertices, axis=1).max())
        self._distance = _MARGIN * radius / math.sin(_FIELD_OF_VIEW / 2)
        self._background = _gradient(view.background, self._size)

    def render(self, angle: float) -> Array:
        """One frame, the mesh turned by ``angle`` degrees about its upright axis: its right side
        comes to the front as the angle grows."""
        import cv2
        import numpy as np

        turned = _turned(self._vertices, angle)
        seen = self._seen(turned)
        pixels, faces, shares = _rasterised(self._projected(seen), self._faces, self._size)
        picture = self._background.copy()
        if self.view.shadow and self.view.elevation > 0:
            self._cast_shadow(picture, turned)
        flat = picture.reshape(-1, 3)
        corners = self._faces[faces]
        flat[pixels] = self._shaded(corners, shares, seen, angle)
        picture = picture.reshape(*self._size, 3)
        if self.view.samples > 1:
            size = (self.view.width, self.view.height)
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)

    def _seen(self, points: Array) -> Array:
        """Points in the camera's frame: right, up, distance from the eye."""
        import numpy as np

        tilt = math.radians(self.view.elevation)
        up = points[:, 1] * math.cos(tilt) - points[:, 2] * math.sin(tilt)
        near = points[:, 1] * math.sin(tilt) + points[:, 2] * math.cos(tilt)
        return np.stack([points[:, 0], up, self._distance - near], axis=1)

    def _projected(self, seen: Array) -> Array:
        """Column, row and inverse distance (which is linear on the screen)."""
        import numpy as np

        inverse = 1 / seen[:, 2]
        return np.stack(
            [
                self._size[1] / 2 + self._focal * seen[:, 0] * inverse,
                self._size[0] / 2 - self._focal * seen[:, 1] * inverse,
                inverse,
            ],
            axis=1,
        )

    def _shaded(self, corners: Array, shares: Array, seen: Array, angle: float) -> Array:
        import numpy as np

        weights = (shares / seen[corners, 2]).astype(np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
        normals = _tilted(_turned(self._normals, angle), self.view.elevation).astype(np.float32)
        normal = _blended(normals, corners, weights)
        light = np.asarray(_LIGHT, np.float32)
        lengths = np.sqrt(np.einsum("nc,nc->n", normal, normal)) * np.linalg.norm(light)
        diffuse = np.maximum(normal @ light, 0) / np.maximum(lengths, 1e-6)
        bright = self.view.ambient + (1 - self.view.ambient) * diffuse
        return _blended(self._colors, corners, weights) * bright[:, None]

    def _cast_shadow(self, picture: Array, turned: Array) -> None:
        """Darken the ground, the plane the mesh stands on, where light from above is stopped."""
        import cv2
        import numpy as np

        fallen = turned.copy()
        drop = fallen[:, 1] - fallen[:, 1].min()
        fallen[:, 0] += 0.15 * drop  # the light comes from the left, so the shadow falls right
        fallen[:, 1] -= drop
        seen = self._seen(fallen)
        pixels, _, _ = _rasterised(self._projected(seen), self._faces, self._size)
        shade = np.zeros(self._size, np.float32)
        shade.reshape(-1)[pixels] = _SHADOW
        shade = cv2.GaussianBlur(shade, (0, 0), min(self._size) / 60)
        picture *= 1 - shade[:, :, None]


def _rasterised(points: Array, faces: Array, size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Which face is seen where: flat pixel indices, faces, and the face's corners' shares (n, 3).

    Both sides of a face are drawn: a mesh may be open.
    """
    import numpy as np

    height, width = size
    corners = points[faces]  # face, corner, (column, row, inverse distance)
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    kept = np.flatnonzero(np.abs(area) > 1e-9)
    corners, area = corners[kept], area[kept]
    top = np.clip(np.ceil(corners[:, :, 1].min(axis=1) - 0.5), 0, height).astype(np.int64)
    end = np.clip(np.ceil(corners[:, :, 1].max(axis=1) - 0.5), 0, height).astype(np.int64)
    owner, row = _ranges(top, end)  # one entry for each row of each face
    middle = row + 0.5
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        a, b = corners[:, first], corners[:, second]
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
    pixel = row * width + column
    # Inverse distance is a plane over the screen: one gradient a face gives it at every pixel.
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    slope_x = (edge1[:, 2] * edge2[:, 1] - edge2[:, 2] * edge1[:, 1]) / area
    slope_y = (edge2[:, 2] * edge1[:, 0] - edge1[:, 2] * edge2[:, 0]) / area
    start = corners[:, 0, 2] - corners[:, 0, 0] * slope_x - corners[:, 0, 1] * slope_y
    nearness = start[face] + (column + 0.5) * slope_x[face] + (row + 0.5) * slope_y[face]
    nearest = np.zeros(height * width)
    np.maximum.at(nearest, pixel, nearness)
    won = np.flatnonzero(nearness == nearest[pixel])
    pixel, face, row, column = pixel[won], face[won], row[won], column[won]
    a, b, c = corners[face].transpose(1, 0, 2)
    place = np.stack([column + 0.5, row + 0.5], axis=1)
    share_b = _cross(place - a[:, :2], c - a) / area[face]
    share_c = _cross(b - a, place - a[:, :2]) / area[face]
    shares = np.stack([1 - share_b - share_c, share_b, share_c], axis=1)
    return pixel, kept[face], shares


def _ranges(starts: Array, ends: Array) -> tuple[Array, Array]:
    """``starts[i], ..., ends[i] - 1`` for all i in one array, and the i of each."""
    import numpy as np

    lengths = np.maximum(ends - starts, 0)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) - first[owner] + starts[owner]


def _cross(a: Array, b: Array) -> Array:
    product: Array = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product


def _blended(values: Array, corners: Array, weights: Array) -> Array:
    """The values (n, 3) of three corners, mixed."""
    a, b, c = (values[corners[:, k]] * weights[:, k, None] for k in range(3))
    mixed: Array = a + b + c
    return mixed


def _turned(points: Array, angle: float) -> Array:
    import numpy as np

    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y, z = points.T
    return np.stack([cos * x - sin * z, y, sin * x + cos * z], axis=1)


def _tilted(points: Array, elevation: float) -> Array:
    import numpy as np

    cos, sin = math.cos(math.radians(elevation)), math.sin(math.radians(elevation))
    x, y, z = points.T
    return np.stack([x, cos * y - sin * z, sin * y + cos * z], axis=1)


def _gradient(background: Color | tuple[Color, Color], size: tuple[int, int]) -> Array:
    import numpy as np

    ends = np.asarray(background, np.float32).reshape(-1, 3)
    down = np.linspace(0, 1, size[0], dtype=np.float32)[:, None]
    rows = ends[0] + (ends[-1] - ends[0]) * down
    return np.repeat(rows[:, None], size[1], axis=1)
