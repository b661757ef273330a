"""A picture made as wide as the film: what is at its sides goes on, blurred.

A wide shot wants to show all of a picture, and bars beside it look like a mistake.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

Pixels = np.ndarray[Any, Any]


_STRIP = 0.03  # of the picture's width: what is repeated of each side; more shows things twice
_BLUR = 0.08
_SEAM = 0.05  # of its width, over which the blur sets in, inside the picture


def with_blurred_sides(pixels: Pixels, aspect: float) -> Pixels:
    """uint8 RGB, height x width x 3, with the picture in the middle; itself if it is wide enough.

    ``aspect`` is the width over the height that is wanted.
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
