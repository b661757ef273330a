"""A scene in time: which things come with which beat, on which page, and the frame at a moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.slides.shapes import Drawable

Frame = NDArray[np.uint8]


FROM_START = -1  # the beat of what is there from the beginning
_PAGE_TURN_SECONDS = 0.4  # seconds in which one page gives way to the next
_DEFAULT_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class TimelineEntry:
    """A thing and when it comes: ``delay`` seconds after (or before) its beat, for ``seconds``.

    With ``beat_fraction`` it takes that share of the time until the next beat, ``seconds`` at
    least. On ``page`` None it is on all pages. ``name`` says what it is: ``heading``, ``bullet
    2``...
    """

    drawable: Drawable
    beat: int
    name: str
    delay: float = 0.0
    seconds: float = _DEFAULT_SECONDS
    beat_fraction: float = 0.0
    page: int | None = 0


class SceneTimeline:
    """The drawing of every scene; see :class:`models.slides.canvas.SceneDrawing`.

    ``entries`` are painted in their order. ``pages`` holds the first beat of each page.
    """

    def __init__(
        self,
        background: Frame,
        entries: Sequence[TimelineEntry],
        beats: int,
        pages: Sequence[int] = (0,),
    ) -> None:
        self.background, self.entries, self.beats = background, tuple(entries), beats
        self.pages = tuple(pages)
        self._lock = threading.Lock()
        self._settled: tuple[tuple[int, ...], Frame] = ((), background)

    def frame(self, t: float, seconds: float, beat_times: Sequence[float]) -> Frame:
        """See SceneDrawing."""
        if len(beat_times) != self.beats:
            raise ValueError(f"{len(beat_times)} times for {self.beats} beats")
        times = [min(max(time, 0.0), seconds) for time in beat_times]
        page = sum(t >= times[first] for first in self.pages[1:])
        turned = t - times[self.pages[page]] if page else _PAGE_TURN_SECONDS
        new = self._page(page, t, seconds, times)
        if turned >= _PAGE_TURN_SECONDS:
            return new

        old = self._page(page - 1, times[self.pages[page]], seconds, times)
        share = turned / _PAGE_TURN_SECONDS
        return np.asarray(cv2.addWeighted(old, 1 - share, new, share, 0), np.uint8)

    def _page(self, page: int, t: float, seconds: float, times: Sequence[float]) -> Frame:
        progress = {
            index: done
            for index, entry in enumerate(self.entries)
            if entry.page in (None, page) and (done := self._progress(entry, t, seconds, times)) > 0
        }
        moving = next((index for index, done in progress.items() if done < 1), None)
        # Paint order decides what lies on top: only what is below the first moving thing is kept.
        below = tuple(index for index in progress if moving is None or index < moving)
        frame = self._settled_frame(below)
        above = [index for index in progress if moving is not None and index >= moving]
        if not above:
            return frame
        frame = frame.copy()
        for index in above:
            self.entries[index].drawable.draw(frame, progress[index])
        frame.setflags(write=False)
        return frame

    def _progress(
        self, entry: TimelineEntry, t: float, seconds: float, times: Sequence[float]
    ) -> float:
        start = times[entry.beat] if entry.beat >= 0 else 0.0
        lasts = entry.seconds
        if entry.beat_fraction:
            later = [time for time in times if time > start]
            lasts = max(lasts, entry.beat_fraction * (min([*later, seconds]) - start))
        if lasts <= 0:
            return float(t >= start + entry.delay)
        return min(max((t - start - entry.delay) / lasts, 0.0), 1.0)

    def _settled_frame(self, indexes: tuple[int, ...]) -> Frame:
        """The frame with these things in their places; the last one is kept."""
        with self._lock:
            known, frame = self._settled
        if known == indexes:
            return frame
        if known == indexes[: len(known)]:
            missing = indexes[len(known) :]
        else:
            missing, frame = indexes, self.background
        frame = frame.copy()
        for index in missing:
            self.entries[index].drawable.draw(frame, 1.0)
        frame.setflags(write=False)
        with self._lock:
            self._settled = (indexes, frame)
        return frame
