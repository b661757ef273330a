"""Waiting for something to become so. The deadline only ends a hang: nothing is measured by it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import text

from db.session import Sessions

HANG_S = 120.0
POLL_INTERVAL_S = 0.02
# Looking costs CPU that what is waited for could use: from one look to the next it takes longer.
SLOWER, LONGEST_POLL_INTERVAL_S = 1.3, 0.5

Found = TypeVar("Found")


async def until(
    condition: Callable[[], object | Awaitable[object]], seconds: float = HANG_S
) -> None:
    """Return once ``condition()``, which may be a coroutine function, is true."""
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(POLL_INTERVAL_S)


async def until_locks_are_waited_for(sessions: Sessions, number: int) -> None:
    """Return once so many transactions wait for a lock of another."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def are_waited_for() -> bool:
        async with sessions() as session:
            return await session.scalar(waiting) == number

    await until(are_waited_for)


def eventually(look: Callable[[], Found | None], seconds: float = HANG_S) -> Found:
    """The first answer of ``look`` that is neither None nor False, from a thread."""
    deadline, pause = time.monotonic() + seconds, POLL_INTERVAL_S
    while (found := look()) is None or found is False:
        assert time.monotonic() < deadline, f"nothing after {seconds:.0f} s"
        time.sleep(pause)
        pause = min(LONGEST_POLL_INTERVAL_S, pause * SLOWER)
    return found
