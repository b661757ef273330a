"""Animate a scene: which elements appear at which beat, on which page."""

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
    """An element and its timing: it appears ``delay`` seconds after its beat, over ``seconds``.

    A negative delay starts before the beat. ``beat_fraction`` extends the animation to that
    fraction of the time until the next beat. ``page`` None puts the element on all pages. ``name``
    identifies it: ``heading``, ``bullet 2``...
    """

    drawable: Drawable
    beat: int
    name: str
    delay: float = 0.0
    seconds: float = _DEFAULT_SECONDS
    beat_fraction: float = 0.0
    page: int | None = 0


class SceneTimeline:
    """Draw the frames of a scene; implements :class:`models.slides.canvas.SceneDrawing`.

    ``entries`` are drawn in their order. ``pages`` holds the first beat of each page.
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
        """Draw the frame at ``t``: read-only uint8 RGB (height, width, 3); see SceneDrawing."""
        if len(beat_times) != self.beats:
            raise ValueError(f"{len(beat_times)} times for {self.beats} beats")
        times = [min(max(time, 0.0), seconds) for time in beat_times]
        page = sum(t >= times[first] for first in self.pages[1:])
        turned = t - times[self.pages[page]] if page else _PAGE_TURN_SECONDS
        new = self._page(page, t, seconds, times)
        if turned >= _PAGE_TURN_SECONDS:
            return new

        old = self._page(page - 1, times[self.pages[page]], seconds, times)
        blend = turned / _PAGE_TURN_SECONDS
        return np.asarray(cv2.addWeighted(old, 1 - blend, new, blend, 0), np.uint8)

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
        """Return the frame with these elements at progress 1; the latest such frame is cached."""
        with self._lock:
            cached_indexes, frame = self._settled
        if cached_indexes == indexes:
            return frame
        if cached_indexes == indexes[: len(cached_indexes)]:
            missing = indexes[len(cached_indexes) :]
        else:
            missing, frame = indexes, self.background
        frame = frame.copy()
        for index in missing:
            self.entries[index].drawable.draw(frame, 1.0)
        frame.setflags(write=False)
        with self._lock:
            self._settled = (indexes, frame)
        return frame
