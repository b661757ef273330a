"""The mesh type, and the request for a generated one.

:mod:`models.mesh.shap_e` generates meshes; without its weights :mod:`models.mesh.silhouette` builds
them from an outline. No torch and no trimesh here: the replicas of all generators import this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image

from models.mesh.errors import EmptyMesh, InvalidMesh

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh with vertex colors.

    ``vertices`` is float32 (n, 3), Y up and facing +Z, in any unit. ``faces`` is int32 (m, 3),
    vertex indices, counter-clockwise seen from outside. ``colors`` is uint8 (n, 3), sRGB 0..255.

    Raises:
        EmptyMesh: the mesh has no face.
        InvalidMesh: a shape or dtype is wrong, an index out of range, or a coordinate not finite.
    """

    vertices: np.ndarray[Any, Any]
    faces: np.ndarray[Any, Any]
    colors: np.ndarray[Any, Any]

    def __post_init__(self) -> None:

        for name, dtype in (("vertices", np.float32), ("faces", np.int32), ("colors", np.uint8)):
            array = getattr(self, name)
            if array.ndim != 2 or array.shape[1] != 3 or array.dtype != dtype:
                raise InvalidMesh(
                    f"{name} must be {dtype.__name__} (n, 3), not {array.dtype} {array.shape}"
                )
        if not len(self.faces):
            raise EmptyMesh("the mesh has no face: try another prompt, picture or seed")
        if len(self.colors) != len(self.vertices):
            raise InvalidMesh(f"{len(self.vertices)} vertices have {len(self.colors)} colours")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise InvalidMesh("a face names a vertex that is not there")
        if not np.isfinite(self.vertices).all():
            raise InvalidMesh("a coordinate is no number")

    @property
    def extents(self) -> np.ndarray[Any, Any]:
        """Width, height and depth: float32 (3,), in the unit of the vertices."""
        return self.vertices.max(axis=0) - self.vertices.min(axis=0)

    def normalized(self) -> Mesh:
        """Return the mesh centered at the origin and scaled to a largest extent of 1."""
        middle = (self.vertices.max(axis=0) + self.vertices.min(axis=0)) / 2
        size = max(float(self.extents.max()), 1e-12)
        return Mesh((self.vertices - middle) / size, self.faces, self.colors)


@dataclass(frozen=True)
class MeshRequest:
    """A text or a picture (one object on a plain background), as the loaded pipeline needs.

    ``grid`` is the resolution of the marching cubes: 128 for a result, 64 for a preview.
    """

    prompt: str | None = None
    image: Image | None = None
    seed: int = 0
    steps: int = 64
    guidance: float = 15.0  # 3.0 is usual for pictures
    grid: int = 128


def linear_to_srgb(linear: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Encode linear light as sRGB (IEC 61966-2-1).

    ``linear`` is float of any shape, 0..1; the result is uint8 of the same shape, 0..255.
    """

    light = np.clip(linear, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curve * 255).round().astype(np.uint8)


def srgb_to_linear(colors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Decode sRGB to linear light, the inverse of :func:`linear_to_srgb`.

    ``colors`` is uint8 of any shape, 0..255; the result is float64 of the same shape, 0..1.
    """

    curve = colors / 255
    return np.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)
