"""Render a mesh turning before a fixed camera on the CPU, without a graphics card or OpenGL.

Only visible pixels are shaded; color and normal are interpolated with perspective. Edges are
smoothed by supersampling.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.media.camera.easing import Easing, InvalidCameraPath, path_progress
from models.media.encoding.threads import parallel_map
from models.mesh.lighting import PLAIN, Lighting
from models.mesh.mesh import Mesh
from models.mesh.rasterizer import rasterize
from models.mesh.topology import count_open_edges, vertex_normals

Array = np.ndarray[Any, Any]
RgbFrame = npt.NDArray[np.uint8]  # (height, width, 3), or 4 channels without a background

Color = tuple[int, int, int]
Background = Color | tuple[Color, Color]

_FIELD_OF_VIEW = math.radians(30)
_MARGIN = 1.2  # of the ball around the mesh, so that it never touches the frame
_COARSE = 4  # a shadow is blurred: it is cast on a ground this many times coarser


class InvalidView(ValueError):
    """The camera, the size or the duration cannot be rendered."""


@dataclass(frozen=True)
class TurntableView:
    """Camera, background and lighting of a turntable clip.

    ``width`` and ``height`` are pixels, ``elevation`` degrees above the horizon. ``background`` is
    one color, two colors for a gradient from top to bottom, or ``None`` for RGBA frames.
    ``samples`` is the supersampling factor in each direction.

    Raises:
        InvalidView: a size under 8 pixels, a camera straight above or below, no samples.
    """

    width: int = 256
    height: int = 256
    elevation: float = 20.0
    background: Background | None = ((242, 244, 248), (196, 202, 212))
    lighting: Lighting = PLAIN
    shadow: bool = True
    samples: int = 2

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 8:
            raise InvalidView(f"{self.width}x{self.height} is too small: at least 8x8 pixels")
        if not -89 <= self.elevation <= 89:
            raise InvalidView(f"elevation {self.elevation} is outside -89..89 degrees")
        if not 1 <= self.samples <= 4:
            raise InvalidView(f"{self.samples} samples a pixel and direction: 1 to 4 are possible")


@dataclass(frozen=True)
class Orbit:
    """The rotation over time: ``turns`` (negative reverses) in ``seconds`` at ``fps``.

    ``start`` is the first angle in degrees; 0 shows the front. With ``loop`` the last frame leads
    into the first, so that the clip can repeat; where ``turns`` is not a whole number the mesh
    turns forward and back. Without ``loop`` the last frame shows the end.
    """

    seconds: float = 4.0
    fps: float = 24.0
    turns: float = 1.0
    start: float = 0.0
    easing: Easing = "linear"
    loop: bool = True

    def angles(self) -> list[float]:
        """Return the angle of each frame in degrees.

        Raises:
            InvalidView: the duration holds no frame.
        """
        closed = float(self.turns).is_integer()
        count = round(self.seconds * self.fps)
        try:
            progress = path_progress(count, self.easing, loop=self.loop, closed=closed)
        except InvalidCameraPath as error:
            raise InvalidView(
                f"{self.seconds} s at {self.fps} a second is no frame at all"
            ) from error
        return [self.start + 360 * self.turns * fraction for fraction in progress]


def turntable_frames(mesh: Mesh, view: TurntableView, orbit: Orbit) -> Iterator[RgbFrame]:
    """Yield the frames: uint8 RGB (RGBA without a background), (height, width, channels).

    Raises:
        InvalidView: the orbit has no frame.
    """
    angles = orbit.angles()
    return parallel_map(TurntableScene(mesh, view).render, angles)


class TurntableScene:
    """A mesh prepared for rendering from any angle, at a constant camera distance."""

    def __init__(self, mesh: Mesh, view: TurntableView) -> None:

        self.view = view
        unit = mesh.normalized()
        self._vertices = unit.vertices.astype(np.float64)
        self._faces = unit.faces
        self._colors = unit.colors.astype(np.float32)
        self._normals = vertex_normals(unit)
        self._size = (view.height * view.samples, view.width * view.samples)
        self._focal = 0.5 * min(self._size) / math.tan(_FIELD_OF_VIEW / 2)
        radius = float(np.linalg.norm(self._vertices, axis=1).max())
        self._distance = _MARGIN * radius / math.sin(_FIELD_OF_VIEW / 2)
        self._is_closed = count_open_edges(mesh) == 0
        ground = view.background
        self._background = None if ground is None else _background_gradient(ground, self._size)

    def render(self, angle: float) -> RgbFrame:
        """Render the mesh turned by ``angle`` degrees about its vertical axis.

        Its right side comes to the front as the angle grows. The frame is uint8 RGB (RGBA without
        a background), (height, width, channels).
        """

        turned = _rotate_about_y(self._vertices, angle)
        seen = self._to_camera(turned)
        points = self._project(seen, self._size)
        pixels, faces, barycentric = rasterize(
            points, self._faces, self._size, closed=self._is_closed
        )
        picture = self._background_with_shadow(turned)
        lit = self._shade(self._faces[faces], barycentric, seen, angle)
        picture.reshape(-1, picture.shape[2])[pixels, :3] = lit
        if self._background is None:
            # Premultiplied by alpha, so that averaging does not mix in the color of empty pixels.
            picture[..., :3] *= picture[..., 3:] / 255
            picture.reshape(-1, 4)[pixels, :3] = lit
            picture.reshape(-1, 4)[pixels, 3] = 255
        if self.view.samples > 1:
            size = (self.view.width, self.view.height)
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        if self._background is None:
            picture[..., :3] /= np.maximum(picture[..., 3:], 1) / 255
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)

    def _background_with_shadow(self, turned: Array) -> Array:
        """Return the background with the shadow of the mesh: float32, RGB or RGBA, 0..255."""

        shade = self._shadow(turned)
        if self._background is not None:
            return self._background if shade is None else self._background * (1 - shade[..., None])
        clear = np.zeros((*self._size, 4), np.float32)
        if shade is not None:
            clear[..., 3] = 255 * shade  # black, as far as the light is stopped
        return clear

    def _to_camera(self, points: Array) -> Array:
        """Transform points into the camera's frame: right, up, distance from the eye."""

        tilt = math.radians(self.view.elevation)
        up = points[:, 1] * math.cos(tilt) - points[:, 2] * math.sin(tilt)
        forward = points[:, 1] * math.sin(tilt) + points[:, 2] * math.cos(tilt)
        return np.stack([points[:, 0], up, self._distance - forward], axis=1)

    def _project(self, seen: Array, size: tuple[int, int]) -> Array:
        """Project to column, row and inverse distance, which is linear on the screen."""

        inverse = 1 / seen[:, 2]
        focal = self._focal * size[0] / self._size[0]
        return np.stack(
            [
                size[1] / 2 + focal * seen[:, 0] * inverse,
                size[0] / 2 - focal * seen[:, 1] * inverse,
                inverse,
            ],
            axis=1,
        )

    def _shade(self, corners: Array, barycentric: Array, seen: Array, angle: float) -> Array:

        weights = barycentric / seen[:, 2].astype(np.float32)[corners]
        weights /= weights.sum(axis=1, keepdims=True)
        normals = _tilt(_rotate_about_y(self._normals, angle), self.view.elevation).astype(
            np.float32
        )
        both = np.concatenate([normals, self._colors], axis=1)
        mixed = _interpolate(both, corners, weights)
        lit: Array = self.view.lighting.shade(mixed[:, 3:], mixed[:, :3])
        return lit

    def _shadow(self, turned: Array) -> Array | None:
        """Return the fraction of light (0..1) that each ground point under the mesh loses."""

        if not self.view.shadow or self.view.elevation <= 0:
            return None
        fallen = turned.copy()
        drop = fallen[:, 1] - fallen[:, 1].min()
        fallen[:, 0] += 0.15 * drop  # the light comes from the left, so the shadow falls right
        fallen[:, 1] -= drop
        height, width = self._size
        size = (-(-height // _COARSE), -(-width // _COARSE))
        pixels, _, _ = rasterize(self._project(self._to_camera(fallen), size), self._faces, size)
        shade = np.zeros(size, np.float32)
        shade.reshape(-1)[pixels] = self.view.lighting.shadow_strength
        shade = cv2.GaussianBlur(shade, (0, 0), max(0.8, min(size) / 60))
        return np.asarray(cv2.resize(shade, (width, height), interpolation=cv2.INTER_LINEAR))


def _interpolate(values: Array, corners: Array, weights: Array) -> Array:
    """Mix the values (n, c) of three corners by ``weights`` (k, 3)."""
    mixed: Array = values[corners[:, 0]] * weights[:, :1]
    mixed += values[corners[:, 1]] * weights[:, 1:2]
    mixed += values[corners[:, 2]] * weights[:, 2:]
    return mixed


def _rotate_about_y(points: Array, angle: float) -> Array:

    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y, z = points.T
    return np.stack([cos * x - sin * z, y, sin * x + cos * z], axis=1)


def _tilt(points: Array, elevation: float) -> Array:

    cos, sin = math.cos(math.radians(elevation)), math.sin(math.radians(elevation))
    x, y, z = points.T
    return np.stack([x, cos * y - sin * z, sin * y + cos * z], axis=1)


def _background_gradient(background: Background, size: tuple[int, int]) -> Array:

    ends = np.asarray(background, np.float32).reshape(-1, 3)
    down = np.linspace(0, 1, size[0], dtype=np.float32)[:, None]
    rows = ends[0] + (ends[-1] - ends[0]) * down
    return np.repeat(rows[:, None], size[1], axis=1)
