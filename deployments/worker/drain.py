"""Asking a replica's jobs back while they run, because it must be gone before they can end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from deployments.contract import Canceled
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


T = TypeVar("T")


POLL_INTERVAL_S = 0.2


# For work that swallows its cancellation, as client libraries have been seen to.
CANCEL_TIMEOUT_S = 1.0


async def run_until_stopped(
    context: RunContext,
    work: Coroutine[Any, Any, T],
    reasons: Collection[StopReason] = tuple(StopReason),
) -> T:
    """What ``work`` gives, and no longer than its job goes on: a stop for one of ``reasons``.

    A thread that it waits for is left to itself: what it stores nobody names, and it is swept.

    Raises:
        Canceled: the job was stopped first; ``context.stopped`` says why.
        Exception: whatever ``work`` raises.
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
