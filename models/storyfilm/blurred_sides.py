"""Widen an image to a film's aspect ratio by extending its sides, blurred.

A wide shot should show the whole image, and bars beside it look like a mistake.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


_STRIP = 0.03  # of the picture's width: what is repeated of each side; more shows things twice
_BLUR = 0.08
_SEAM = 0.05  # of its width, over which the blur sets in, inside the picture


def with_blurred_sides(pixels: Pixels, aspect: float) -> Pixels:
    """Extend ``pixels``, uint8 RGB (height, width, 3), to ``aspect`` (width over height).

    The image stays in the middle. An image that is wide enough is returned unchanged; otherwise the
    result is a new uint8 RGB array.
    """

    height, width = pixels.shape[:2]
    side = round((height * aspect - width) / 2)
    if side <= 0:
        return pixels
    strip = max(round(_STRIP * width), 1)
    left = np.pad(pixels[:, :strip], ((0, 0), (side, 0), (0, 0)), mode="symmetric")[:, :side]
    right = np.pad(pixels[:, -strip:], ((0, 0), (0, side), (0, 0)), mode="symmetric")[:, -side:]
    whole = np.concatenate([left, pixels, right], axis=1)
    blurred = cv2.GaussianBlur(whole, (0, 0), sigmaX=_BLUR * width, sigmaY=_BLUR * width / 8)
    # 1 in the picture, falling to 0 at its sides.
    from_edge = np.minimum(np.arange(whole.shape[1]), np.arange(whole.shape[1])[::-1]) - side
    sharp = np.clip(from_edge / (_SEAM * width), 0, 1)[None, :, None]
    return (blurred + (whole.astype(np.float32) - blurred) * sharp + 0.5).astype(np.uint8)
