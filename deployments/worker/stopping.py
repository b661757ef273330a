"""What the runner itself waits for ends when its job is stopped, as its generator does."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from deployments.contract import Canceled
from deployments.worker.context import RunContext, StopReason

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
