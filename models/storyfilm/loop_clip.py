"""Loop a short clip to fill a scene of any length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.media.camera.transitions import blend

Frame = NDArray[np.uint8]


MIN_SPEED = 0.6  # of its own speed: slower, movements look wrong


class LoopedClip:
    """A clip of ``frames`` at ``fps``, stretched to ``seconds``. Frames are uint8 RGB (height,
    width, 3).

    The clip plays slower, down to :data:`MIN_SPEED`, and beyond that forwards and backwards in
    turn: viewers notice a jump back to the first frame, but not a reversal.
    """

    def __init__(self, frames: Sequence[Frame], fps: float, seconds: float) -> None:
        self._frames = frames
        own = (len(frames) - 1) / fps
        self._speed = fps * min(1.0, max(MIN_SPEED, own / seconds if seconds else 1.0))

    def frame(self, t: float) -> Frame:
        """Return the frame at ``t`` seconds, uint8 RGB (height, width, 3), blended from two
        neighbors.
        """
        last = len(self._frames) - 1
        if last == 0:
            return self._frames[0]
        place = (t * self._speed) % (2 * last)
        place = min(place, 2 * last - place)
        low = min(int(place), last - 1)
        return blend(self._frames[low], self._frames[low + 1], place - low)
