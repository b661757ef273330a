"""What the runner itself waits for ends when its job is stopped, as its generator does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from deployments.context import RunContext
from deployments.contract import Canceled

T = TypeVar("T")

LOOK_S = 0.2
# For work that swallows its cancellation, as client libraries have been seen to.
ENDS_WITHIN_S = 1.0


async def unless_stopped(context: RunContext, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives, and no longer than its job goes on.

    A thread that it waits for is left to itself: what it stores nobody names, and it is swept.

    Raises:
        Canceled: the job was stopped first; ``context.stopped`` says why.
        Exception: whatever ``work`` raises.
    """
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_S)
            if not task.done() and context.stopped is not None:
                raise Canceled(context.stopped.value)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=ENDS_WITHIN_S)
