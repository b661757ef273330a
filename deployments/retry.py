"""Retry a call for a limited time while a store is down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import StoreUnavailable
from db.retries import retry_context

T = TypeVar("T")

# The exceptions of a store that is down, starting, or failing over.
STORE_DOWN = (StoreUnavailable, OperationalError, InterfaceError, PoolTimeout)

INITIAL_DELAY_S = 0.2
MAX_DELAY_S = 3.0


async def retry_while_unavailable(
    what: str,
    action: Callable[[], Awaitable[T]],
    give_up_after_s: float,
    stop_if: Callable[[], bool] = lambda: False,
) -> T:
    """Call ``action`` until it returns, with growing pauses while a store is down.

    ``action`` must be safe to repeat: a call that failed may have had its effect. Exceptions other
    than :data:`STORE_DOWN` are raised at once, and those as well when the time is up or
    ``stop_if()`` is true. ``what`` names the action in the log.
    """
    now = asyncio.get_running_loop().time
    deadline = now() + give_up_after_s

    def again(error: Exception) -> bool:
        # stamina's ``timeout`` would let the last pause run past the deadline.
        in_time = now() + attempt.next_wait <= deadline
        return isinstance(error, STORE_DOWN) and in_time and not stop_if()

    with structlog.contextvars.bound_contextvars(during=what):
        async for attempt in retry_context(
            on=again,
            attempts=None,
            timeout=None,
            wait_initial=INITIAL_DELAY_S,
            wait_max=MAX_DELAY_S,
            wait_jitter=0,
        ):
            with attempt:
                return await action()
    raise AssertionError("the last attempt returned or raised")
