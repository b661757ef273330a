"""A photo brought to the size of its film."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from deployments.generators.video3d.spec import LONGEST


def film_size(photo: Image.Image, width: int | None, height: int | None) -> tuple[int, int]:
    """Width and height of the film, even: the photo's own, or as asked; a side that was left out
    follows the photo's aspect."""
    if width and height:
        return width, height
    if width:
        scale = width / photo.width
    elif height:
        scale = height / photo.height
    else:
        scale = min(1.0, LONGEST / max(photo.size))
    # A very long photo must not make a film that is longer than any may be.
    scale = min(scale, LONGEST / max(photo.size))
    return width or _even(photo.width * scale), height or _even(photo.height * scale)


def fit_photo(photo: Image.Image, width: int, height: int) -> tuple[Image.Image, float]:
    """``photo`` at that size, cut where its aspect is another; and how often it was enlarged."""

    scale = max(width / photo.width, height / photo.height)
    if photo.size == (width, height):
        return photo, 1.0
    way = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return ImageOps.fit(photo, (width, height), way), max(1.0, scale)


def depth_image(near: np.ndarray[Any, Any]) -> Image.Image:
    """Nearness (0..1) as a grey picture, white is nearest."""

    return Image.fromarray((near * 255).round().astype(np.uint8)).convert("RGB")


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
