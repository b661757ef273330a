"""From denoising steps to a job's progress and previews."""

from __future__ import annotations

import threading
import time

from deployments.contract import Context
from models.diffusion.requests import DenoisingStep

# Decoding a preview costs about a step; the context would drop more than one a second anyway.
PREVIEW_INTERVAL_S = 1.0


class StageProgress:
    """One stage of a job that runs from ``since`` to ``until`` of it, over several pictures."""

    def __init__(
        self,
        context: Context,
        stage: str,
        pictures: int,
        *,
        since: float = 0.0,
        until: float = 1.0,
    ) -> None:
        self._context, self._stage = context, stage
        self._since, self._until = since, until
        self._done = [0.0] * pictures
        self._lock = threading.Lock()
        self._previewed_at = time.monotonic()

    def on_step(self, step: DenoisingStep) -> None:
        """To be called at every step of any picture; shows a preview now and then."""
        with self._lock:
            self._done[step.image_index] = step.number / step.total
            fraction = sum(self._done) / len(self._done)
            now = time.monotonic()
            show = step.number < step.total and now - self._previewed_at >= PREVIEW_INTERVAL_S
            if show:
                self._previewed_at = now
            # Told under the lock: two threads must not overtake each other.
            self.report(fraction)
        if show:
            self._context.preview(step.preview())

    def report(self, fraction: float) -> None:
        """``fraction`` of this stage is done."""
        self._context.progress(self._since + (self._until - self._since) * fraction, self._stage)
