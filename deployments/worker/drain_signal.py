"""Stop a replica's running jobs when it has to shut down before they can end.

The runner then queues them for their next attempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.worker.context import RunContext, StopReason


class DrainSignal:
    """Stops the registered jobs of a replica once it is triggered. For one event loop."""

    def __init__(self) -> None:
        self._running: set[RunContext] = set()
        self._triggered = False

    def trigger(self) -> None:
        """Stop every registered job at its next step, and each one that is registered later."""
        self._triggered = True
        for context in self._running:
            context.stop(StopReason.DRAINED)

    @contextmanager
    def register(self, context: RunContext) -> Iterator[None]:
        """Let a drain stop the job of ``context`` for as long as the block runs."""
        self._running.add(context)
        if self._triggered:
            context.stop(StopReason.DRAINED)
        try:
            yield
        finally:
            self._running.discard(context)
