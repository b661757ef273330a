"""Run what a runner waits for itself, such as a download, so that a stop of the job ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from deployments.contract import Stopped
from deployments.worker.context import RunContext, StopReason

T = TypeVar("T")

POLL_INTERVAL_S = 0.2
# Some client libraries swallow a cancellation: their call is not waited for any longer.
CANCEL_TIMEOUT_S = 1.0


async def run_until_stopped(
    context: RunContext,
    work: Coroutine[Any, Any, T],
    reasons: Collection[StopReason] = tuple(StopReason),
) -> T:
    """Run ``work`` to its end, or until the job is stopped for one of ``reasons``.

    A thread that ``work`` waits for goes on: no row names the files that it still stores, and
    maintenance deletes them.

    Raises:
        Stopped: the job was stopped first; ``context.stop_reason`` says why.
        Exception: any exception of ``work``.
    """
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=POLL_INTERVAL_S)
            if not task.done() and context.stop_reason in reasons:
                raise Stopped(str(context.stop_reason))
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_TIMEOUT_S)
