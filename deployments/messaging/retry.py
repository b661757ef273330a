"""Waiting out a store that is down, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import StoreUnavailable

T = TypeVar("T")

# What a store that is down, starting or failing over looks like from here.
STORE_DOWN = (StoreUnavailable, OperationalError, InterfaceError, PoolTimeout)

INITIAL_DELAY_S = 0.2
MAX_DELAY_S = 3.0

log = structlog.get_logger(__name__)


async def retry_while_unavailable(
    what: str,
    action: Callable[[], Awaitable[T]],
    give_up_after_s: float,
    stop_if: Callable[[], bool] = lambda: False,
) -> T:
    """``action()``, called again with growing pauses while a store is down.

    ``action`` must be safe to repeat: a call that failed may have had its effect. What it raises
    other than :data:`STORE_DOWN` comes through at once; that too once the time is up or ``stop_if``
    says that repeating has become pointless.
    """
    now = asyncio.get_running_loop().time
    deadline = now() + give_up_after_s
    delay = INITIAL_DELAY_S
    while True:
        try:
            return await action()
        except STORE_DOWN as error:
            if stop_if() or now() + delay > deadline:
                raise
            log.warning("store_down", during=what, error=type(error).__name__, again_in_s=delay)
        await asyncio.sleep(delay)
        delay = min(delay * 2, MAX_DELAY_S)
