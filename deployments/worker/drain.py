"""Asking a replica's jobs back while they run, because it must be gone before they can end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.worker.context import RunContext, StopReason


class DrainSignal:
    """The jobs that a replica would hand back. For one event loop."""

    def __init__(self) -> None:
        self._running: set[RunContext] = set()
        self._asked = False

    def trigger(self) -> None:
        """Stop every job at its next step, and from now on each that begins."""
        self._asked = True
        for context in self._running:
            context.stop(StopReason.DRAINED)

    @contextmanager
    def register(self, context: RunContext) -> Iterator[None]:
        """The job of ``context`` can be asked back for as long as the block runs."""
        self._running.add(context)
        if self._asked:
            context.stop(StopReason.DRAINED)
        try:
            yield
        finally:
            self._running.discard(context)
