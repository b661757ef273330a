"""Directional lamps and the shading of a surface that they light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Direction = tuple[float, float, float]


@dataclass(frozen=True)
class Lamp:
    """A directional lamp.

    ``direction`` points to the lamp: right, up, towards the viewer, of any length. A ``strength``
    of 1 is full light.
    """

    direction: Direction
    strength: float


@dataclass(frozen=True)
class Lighting:
    """The lamps and the ambient light of a scene.

    ``ambient`` is the light from all directions; ``sky_strength`` adds light from above and takes
    it away below. ``specular`` is the brightness of highlights, and a larger ``specular_exponent``
    makes them smaller. ``shadow_strength`` is the fraction of light, 0..1, that the ground loses
    under the object.
    """

    lamps: tuple[Lamp, ...]
    ambient: float
    sky_strength: float = 0.0
    specular: float = 0.0
    specular_exponent: float = 32.0
    shadow_strength: float = 0.45

    def shade(self, colors: FloatArray, normals: FloatArray) -> FloatArray:
        """Light ``colors`` from all lamps.

        ``colors`` is float32 (n, 3), RGB 0..255. ``normals`` is float32 (n, 3), of any length, in
        the viewer's frame. The result is float32 (n, 3) and may exceed 255. Diffuse light follows
        Lambert's law, highlights follow Blinn ("Models of light reflection for computer synthesized
        pictures", 1977).
        """

        lengths = np.sqrt(np.einsum("nc,nc->n", normals, normals))
        unit = normals / np.maximum(lengths, 1e-6)[:, None]
        bright = np.full(len(unit), self.ambient, np.float32)
        if self.sky_strength:
            bright += np.float32(self.sky_strength) * unit[:, 1]
        gloss = np.zeros(len(unit), np.float32)
        for lamp in self.lamps:
            towards = _unit(lamp.direction)
            bright += np.float32(lamp.strength) * np.maximum(unit @ towards, 0)
            if self.specular:
                halfway = _unit(tuple(towards + np.array([0, 0, 1], np.float32)))
                mirrored = np.maximum(unit @ halfway, 0) ** np.float32(self.specular_exponent)
                gloss += np.float32(lamp.strength * self.specular * 255) * mirrored
        return np.asarray(colors * bright[:, None] + gloss[:, None], np.float32)


def _unit(direction: tuple[Any, ...]) -> FloatArray:

    vector = np.asarray(direction, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


# Light from over the viewer's left shoulder; the sum reaches full light and never exceeds it.
PLAIN = Lighting((Lamp((-0.45, 0.65, 0.62), 0.55),), ambient=0.45)
FLAT = Lighting((), ambient=1.0)
STUDIO = Lighting(
    (
        Lamp((-0.5, 0.7, 0.62), 0.6),
        Lamp((0.85, 0.15, 0.5), 0.16),
        Lamp((0.35, 0.55, -0.75), 0.3),
    ),
    ambient=0.36,
    sky_strength=0.06,
    specular=0.22,
    specular_exponent=40.0,
)
SOFT = Lighting(
    (Lamp((-0.2, 0.85, 0.5), 0.3),), ambient=0.66, sky_strength=0.12, shadow_strength=0.3
)
DRAMATIC = Lighting(
    (Lamp((-0.9, 0.4, 0.25), 0.95), Lamp((0.85, 0.35, -0.4), 0.45)),
    ambient=0.1,
    sky_strength=0.04,
    specular=0.35,
    specular_exponent=24.0,
    shadow_strength=0.65,
)
