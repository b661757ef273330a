"""How far a job is, told from two threads; each call raises once the job is to stop."""

from __future__ import annotations

import threading
import time

from PIL.Image import Image

from deployments.contract import Context
from models.diffusion.requests import DenoisingStep, OnStep

REPORT_INTERVAL_S = 0.2
PREVIEW_INTERVAL_S = 1.0
FILMING = "filming"


class Aborted(Exception):
    """The other thread failed, whose error is the one to tell."""


class ProgressReporter:
    """From ``since`` to ``until`` of a job. Every thing that is made has a weight."""

    def __init__(
        self, context: Context, since: float, until: float, weights: dict[str, float]
    ) -> None:
        self._context, self._since, self._until = context, since, until
        self._weights = weights
        self._total = sum(weights.values()) or 1.0
        self._done = dict.fromkeys(weights, 0.0)
        self._stage = "drawing"
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._reported_at = self._previewed_at = float("-inf")

    def enter_stage(self, stage: str) -> None:
        """The main thread begins a stage; the other's work is told as part of it."""
        with self._lock:
            self._stage = stage
        self._publish()

    @property
    def only_filming(self) -> bool:
        """Whether the main thread has no more pictures to show."""
        with self._lock:
            return self._stage == FILMING

    def abort(self) -> None:
        """Every further call raises."""
        self._stopped.set()

    def report(self, thing: str, share: float = 1.0) -> None:
        """``share`` of ``thing`` is made; what was not planned has no weight."""
        if self._stopped.is_set():
            raise Aborted
        with self._lock:
            if thing in self._done:
                self._done[thing] = max(self._done[thing], share)
            now = time.monotonic()
            if share < 1.0 and now - self._reported_at < REPORT_INTERVAL_S:
                return
            self._reported_at = now
        self._publish()

    def step_callback(self, thing: str, attempt: int, tries: int) -> OnStep:
        """What is called after each step of one of ``tries`` attempts to draw ``thing``."""

        def report(step: DenoisingStep) -> None:
            self.report(thing, (attempt + step.number / step.total) / tries)
            if step.number < step.total and self.preview_due():
                self._context.preview(step.preview())

        return report

    def preview(self, image: Image) -> None:
        self._context.preview(image)

    def _publish(self) -> None:
        with self._lock:
            share = sum(self._weights[thing] * done for thing, done in self._done.items())
            fraction = self._since + (self._until - self._since) * share / self._total
            # Told under the lock: two threads must not overtake each other.
            self._context.progress(fraction, self._stage)

    def preview_due(self) -> bool:
        """Decoding a preview costs about a step; more than one a second would be dropped."""
        with self._lock:
            now = time.monotonic()
            if now - self._previewed_at < PREVIEW_INTERVAL_S:
                return False
            self._previewed_at = now
            return True
