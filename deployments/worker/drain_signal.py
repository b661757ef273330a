"""Stop a replica's running jobs when it has to shut down before they can end.

The runner then queues them for their next attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from deployments.contract import Canceled
from deployments.worker.context import RunContext, StopReason

T = TypeVar("T")

POLL_INTERVAL_S = 0.2
# Some client libraries swallow a cancellation: their call is not waited for any longer.
CANCEL_TIMEOUT_S = 1.0


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


async def run_until_stopped(
    context: RunContext,
    work: Coroutine[Any, Any, T],
    reasons: Collection[StopReason] = tuple(StopReason),
) -> T:
    """Run ``work`` to its end, or until the job is stopped for one of ``reasons``.

    A thread that ``work`` waits for goes on: no row names the files that it still stores, and
    maintenance deletes them.

    Raises:
        Canceled: the job was stopped first; ``context.stop_reason`` says why.
        Exception: any exception of ``work``.
    """
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=POLL_INTERVAL_S)
            if not task.done() and context.stop_reason in reasons:
                raise Canceled(str(context.stop_reason))
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_TIMEOUT_S)
