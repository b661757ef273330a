"""Waiting for something to become so. The deadline only ends a hang: nothing is measured by it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

HANG_S = 120.0
POLL_INTERVAL_S = 0.02

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


def eventually(look: Callable[[], Found | None], seconds: float = HANG_S) -> Found:
    """The first answer of ``look`` that is neither None nor False, from a thread."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None or found is False:
        assert time.monotonic() < deadline, f"nothing after {seconds:.0f} s"
        time.sleep(POLL_INTERVAL_S)
    return found
