"""A short film of a picture made to fill a scene of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.media.camera.transitions import blend

Frame = np.ndarray[Any, Any]


MIN_SPEED = 0.6  # of its own speed: slower, movements look wrong


class LoopedClip:
    """Frames of ``fps`` pictures a second that last ``seconds``.

    They are played more slowly, as far as that looks right, and beyond that forwards and backwards
    in turn: a jump back to the first frame would be seen, a movement that turns round is not.
    """

    def __init__(self, frames: Sequence[Frame], fps: float, seconds: float) -> None:
        self._frames = frames
        own = (len(frames) - 1) / fps
        self._speed = fps * min(1.0, max(MIN_SPEED, own / seconds if seconds else 1.0))

    def frame(self, t: float) -> Frame:
        """What is seen at ``t`` seconds, between two frames a mixture of both."""
        last = len(self._frames) - 1
        if last == 0:
            return self._frames[0]
        place = (t * self._speed) % (2 * last)
        place = min(place, 2 * last - place)
        low = min(int(place), last - 1)
        return blend(self._frames[low], self._frames[low + 1], place - low)
