"""How far a job is: parts with weights, stages, and a preview now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from PIL import Image

from deployments.contract import Context
from models.inference.inference import DrawingProgress, Event, OnEvent
from models.media.encoding.base import Frame

FRAME_REPORT_INTERVAL_S = 0.2
# The context would drop more than one a second.
PREVIEW_INTERVAL_S = 1.0
PREVIEW_SIDE = 480


class Aborted(Exception):
    """Another thread of the job failed, whose error is the one to tell."""


class ProgressReporter:
    """Reports the part of a job that runs from ``since`` to ``until`` of it, from any thread.

    ``parts`` are the things that are made there, each with its weight. Every call raises once the
    job is to stop: what the context raises, or Aborted after :meth:`abort`. Reports that follow
    within ``interval_s`` are left out, unless they end a part.
    """

    def __init__(
        self,
        context: Context,
        stage: str,
        parts: Mapping[str, float] | None = None,
        *,
        since: float = 0.0,
        until: float = 1.0,
        interval_s: float = 0.0,
    ) -> None:
        self._context, self._stage = context, stage
        self._since, self._until, self._interval_s = since, until, interval_s
        self._weights = dict(parts) if parts is not None else {stage: 1.0}
        self._only_part = next(iter(self._weights), "")
        self._total = sum(self._weights.values()) or 1.0
        self._done = dict.fromkeys(self._weights, 0.0)
        self._aborted = threading.Event()
        self._lock = threading.Lock()
        self._reported_at = float("-inf")
        self._previewed_at = time.monotonic()
        self._begun: dict[str, float] = {}

    @property
    def stage(self) -> str:
        with self._lock:
            return self._stage

    def enter_stage(self, stage: str) -> None:
        """The main thread begins ``stage``; work of other threads is reported as part of it."""
        with self._lock:
            self._stage = stage
            self._publish()

    def abort(self) -> None:
        """Every further call raises."""
        self._aborted.set()

    def report(self, part: str, share: float = 1.0) -> None:
        """``share`` of ``part`` is made; a part that was not planned has no weight."""
        self.check()
        with self._lock:
            now = time.monotonic()
            if part in self._done:
                self._note_part(part, share, now)
            if share < 1.0 and now - self._reported_at < self._interval_s:
                return
            self._reported_at = now
            self._publish()

    def update(self, share: float) -> None:
        """``share`` of the only part is made."""
        self.report(self._only_part, share)

    def check(self) -> None:
        """Raises if another thread failed."""
        if self._aborted.is_set():
            raise Aborted

    def callback(self, part: str, since: float = 0.0, until: float = 1.0) -> OnEvent:
        """What an operation reports to that brings ``part`` from one share to another."""

        def on_event(event: Event) -> None:
            self._on_event(part, since, until, event)

        return on_event

    def batch_callback(self, parts: Sequence[str]) -> OnEvent:
        """What an operation reports to that draws several pictures together, in order."""

        def on_event(event: Event) -> None:
            assert isinstance(event, DrawingProgress), "pictures are drawn"
            self._on_event(parts[event.image_index], 0.0, 1.0, event)

        return on_event

    def preview(self, image: Image.Image) -> None:
        """Show a picture that is finished."""
        self._context.preview(image)

    def preview_frame(self, frame: Frame) -> None:
        """Show a frame of a film if it is time: a picture, or uint8 of height x width x 3 or 4."""
        if self._preview_due():
            preview = frame.copy() if isinstance(frame, Image.Image) else Image.fromarray(frame)
            preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
            self._context.preview(preview)

    def _on_event(self, part: str, since: float, until: float, event: Event) -> None:
        self.report(part, since + (until - since) * event.done / max(event.total, 1))
        if isinstance(event, DrawingProgress) and event.preview is not None:
            self._context.preview(event.preview)

    def _preview_due(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now - self._previewed_at < PREVIEW_INTERVAL_S:
                return False
            self._previewed_at = now
            return True

    def _note_part(self, part: str, share: float, now: float) -> None:
        """Called under the lock. Of several parts, each is told of when it is made."""
        begun = self._begun.setdefault(part, now)
        if share >= 1.0 > self._done[part] and len(self._done) > 1:
            made = 1 + sum(done >= 1.0 for done in self._done.values())
            self._context.log(f"{part} made in {now - begun:.1f} s, {made} of {len(self._done)}")
        self._done[part] = max(self._done[part], share)

    def _publish(self) -> None:
        """Called under the lock: two threads must not overtake each other."""
        share = sum(self._weights[part] * done for part, done in self._done.items()) / self._total
        self._context.progress(self._since + (self._until - self._since) * share, self._stage)
