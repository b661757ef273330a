"""A film of still pictures: each a while, under a camera that gently moves, one fading to the next.

The move is the one known from documentaries (Ken Burns): slowly in or out, towards the middle or
from it. It is computed to fractions of a pixel; whole pixels would be seen to jump.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from PIL.Image import Image

Pixels = np.ndarray[Any, Any]


MAX_ZOOM = 1.12  # how far the camera goes in
FADE_SECONDS = 0.5


class InvalidSlideshow(ValueError):
    """There is no picture, or fewer frames than pictures."""


@dataclass(frozen=True)
class SlideshowSpec:
    """``frames`` of ``width`` x ``height`` at ``fps``, shared out evenly between the pictures."""

    width: int
    height: int
    fps: int
    frames: int


def slideshow_frames(pictures: Sequence[Image], spec: SlideshowSpec) -> Iterator[Pixels]:
    """Every frame in turn: uint8 RGB, height x width x 3.

    A picture fills the frame: of one with another aspect the sides are cut, or the lower part more
    than the upper.

    Raises:
        InvalidSlideshow: see there.
    """

    count = len(pictures)
    if not 1 <= count <= spec.frames:
        raise InvalidSlideshow(f"{count} pictures do not make {spec.frames} frames")
    starts = [round(spec.frames * i / count) for i in range(count + 1)]
    shortest = min(b - a for a, b in pairwise(starts))
    fade = min(round(FADE_SECONDS * spec.fps), shortest // 2)
    cameras = [_Camera(picture, spec, i) for i, picture in enumerate(pictures)]
    for i, (first, end) in enumerate(pairwise(starts)):
        length = end - first + fade  # its move goes on while the next one appears
        for number in range(end - first):
            frame = cameras[i].at(number / length)
            if i and number < fade:
                before = starts[i] - starts[i - 1]
                gone = cameras[i - 1].at((before + number) / (before + fade))
                share = (number + 1) / (fade + 1)
                frame = gone + (frame - gone) * np.float32(share)
            yield np.clip(frame + 0.5, 0, 255).astype(np.uint8)


class _Camera:
    """Looks at one picture; even ones it goes towards, odd ones it leaves."""

    def __init__(self, picture: Image, stills: SlideshowSpec, number: int) -> None:

        self._size = (stills.width, stills.height)
        self._inwards = number % 2 == 0
        wide, high = picture.size
        shown = min(wide / stills.width, high / stills.height)
        # Less than a pixel of the picture for one of the film would shimmer: shrink it before.
        shrink = max(1.0, shown / MAX_ZOOM)
        if shrink > 1:
            picture = picture.resize((math.ceil(wide / shrink), math.ceil(high / shrink)))
        self._pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)

    def at(self, moment: float) -> Pixels:
        """The float32 frame at ``moment`` (0..1) of the move."""

        eased = moment * moment * (3 - 2 * moment)
        zoom = MAX_ZOOM ** (eased if self._inwards else 1 - eased)
        high, wide = self._pixels.shape[:2]
        width, height = self._size
        scale = min(wide / width, high / height) / zoom
        left = (wide - width * scale) / 2
        top = (high - height * scale) / 8  # heads are above
        # Pixel centres lie at halves: without them the corner would drift as the camera moves.
        shift = (scale - 1) / 2
        matrix = np.array([[scale, 0, left + shift], [0, scale, top + shift]], dtype=np.float64)
        return cv2.warpAffine(
            self._pixels,
            matrix,
            self._size,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
