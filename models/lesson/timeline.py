"""A scene in time: which things come with which beat, on which page, and the frame at a moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.lesson.draw import Thing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

START = -1  # the beat of what is there from the beginning
_TURN = 0.4  # seconds in which one page gives way to the next
_QUICK = 0.5


@dataclass(frozen=True, eq=False)
class Entry:
    """A thing and when it comes: ``delay`` seconds after (or before) its beat, for ``seconds``.

    With ``fill`` it takes that share of the time until the next beat, ``seconds`` at least. On
    ``page`` None it is on all pages. ``name`` says what it is: ``heading``, ``bullet 2``...
    """

    thing: Thing
    beat: int
    name: str
    delay: float = 0.0
    seconds: float = _QUICK
    fill: float = 0.0
    page: int | None = 0


class Timeline:
    """The drawing of every scene; see :class:`models.lesson.stage.SceneDrawing`.

    ``entries`` are painted in their order. ``pages`` holds the first beat of each page.
    """

    def __init__(
        self, ground: Frame, entries: Sequence[Entry], beats: int, pages: Sequence[int] = (0,)
    ) -> None:
        self.ground, self.entries, self.beats = ground, tuple(entries), beats
        self.pages = tuple(pages)
        self._lock = threading.Lock()
        self._settled: tuple[tuple[int, ...], Frame] = ((), ground)

    def frame(self, t: float, seconds: float, beat_times: Sequence[float]) -> Frame:
        """See SceneDrawing."""
        if len(beat_times) != self.beats:
            raise ValueError(f"{len(beat_times)} times for {self.beats} beats")
        times = [min(max(time, 0.0), seconds) for time in beat_times]
        page = sum(t >= times[first] for first in self.pages[1:])
        turned = t - times[self.pages[page]] if page else _TURN
        new = self._page(page, t, seconds, times)
        if turned >= _TURN:
            return new
        import cv2
        import numpy as np

        old = self._page(page - 1, times[self.pages[page]], seconds, times)
        share = turned / _TURN
        return np.asarray(cv2.addWeighted(old, 1 - share, new, share, 0), np.uint8)

    def _page(self, page: int, t: float, seconds: float, times: Sequence[float]) -> Frame:
        progress = {
            index: done
            for index, entry in enumerate(self.entries)
            if entry.page in (None, page) and (done := self._done(entry, t, seconds, times)) > 0
        }
        moving = next((index for index, done in progress.items() if done < 1), None)
        # Paint order decides what lies on top: only what is below the first moving thing is kept.
        below = tuple(index for index in progress if moving is None or index < moving)
        frame = self._still(below)
        above = [index for index in progress if moving is not None and index >= moving]
        if not above:
            return frame
        frame = frame.copy()
        for index in above:
            self.entries[index].thing.paint(frame, progress[index])
        frame.setflags(write=False)
        return frame

    def _done(self, entry: Entry, t: float, seconds: float, times: Sequence[float]) -> float:
        start = times[entry.beat] if entry.beat >= 0 else 0.0
        lasts = entry.seconds
        if entry.fill:
            later = [time for time in times if time > start]
            lasts = max(lasts, entry.fill * (min([*later, seconds]) - start))
        if lasts <= 0:
            return float(t >= start + entry.delay)
        return min(max((t - start - entry.delay) / lasts, 0.0), 1.0)

    def _still(self, indexes: tuple[int, ...]) -> Frame:
        """The frame with these things in their places; the last one is kept."""
        with self._lock:
            known, frame = self._settled
        if known == indexes:
            return frame
        if known == indexes[: len(known)]:
            missing = indexes[len(known) :]
        else:
            missing, frame = indexes, self.ground
        frame = frame.copy()
        for index in missing:
            self.entries[index].thing.paint(frame, 1.0)
        frame.setflags(write=False)
        with self._lock:
            self._settled = (indexes, frame)
        return frame
