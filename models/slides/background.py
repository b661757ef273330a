"""Render a theme's background: a gradient and its texture."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.slides.theme import THEMES, Theme

Frame = NDArray[np.uint8]


def background(theme: Theme, width: int, height: int) -> Frame:
    """Render the background: read-only uint8 RGB of shape (height, width, 3), cached per theme and
    size.
    """
    if THEMES.get(theme.name) == theme:
        return _cached_background(theme.name, width, height)
    return _background(theme, width, height)


@lru_cache(maxsize=8)
def _cached_background(name: str, width: int, height: int) -> Frame:
    return _background(THEMES[name], width, height)


def _background(theme: Theme, width: int, height: int) -> Frame:

    gradient = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    start, end = (np.array(c, np.float32) for c in (theme.background, theme.background_end))
    picture = np.broadcast_to(start + (end - start) * gradient, (height, width, 3)).copy()
    rng = np.random.default_rng(7)
    if theme.texture == "grain":
        picture += _noise(rng, width, height, 2)[..., None] * 3.0
        picture += _noise(rng, width, height, 90)[..., None] * 3.0
    elif theme.texture == "chalk":
        picture += _noise(rng, width, height, 160)[..., None] * 6.0
        picture += _noise(rng, width, height, 2)[..., None] * 1.6
    elif theme.texture == "grid":
        step = max(8, round(min(width, height) / 24))
        for major, strength in ((1, 7.0), (5, 9.0)):
            picture[:: step * major] += strength
            picture[:, :: step * major] += strength
    # Half a grey of noise keeps the slow gradient from banding once it is encoded.
    picture += rng.uniform(-0.5, 0.5, (height, width, 1)).astype(np.float32)
    frame = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    frame.setflags(write=False)
    return frame


def _noise(rng: np.random.Generator, width: int, height: int, size: int) -> NDArray[np.float32]:
    """Generate smooth float32 noise of shape (height, width), about -1..1, in patches of ``size``
    pixels.
    """

    small = rng.normal(0, 0.5, (height // size + 2, width // size + 2)).astype(np.float32)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float32)
