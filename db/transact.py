"""A transaction that is tried again where Postgres asks for that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from db.session import Sessions

T = TypeVar("T")
Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

# serialization_failure and deadlock_detected: rolled back as a whole, and worth another try.
RETRYABLE_SQLSTATES = frozenset({"40001", "40P01"})
ATTEMPTS = 12
MAX_WAIT_S = 1.0


async def transact(
    sessions: Sessions,
    work: Callable[[AsyncSession], Awaitable[T]],
    isolation: Isolation | None = None,
) -> T:
    """Commit what ``work`` does; do it anew, from the beginning, after a serialization failure.

    ``work`` may therefore run several times and must do nothing outside of its session.

    Raises:
        sqlalchemy.exc.DBAPIError: still in conflict after twelve attempts, or another failure.
    """
    for attempt in range(ATTEMPTS):
        try:
            async with sessions.begin() as session:
                if isolation is not None:
                    await session.connection(execution_options={"isolation_level": isolation})
                return await work(session)
        except DBAPIError as error:
            if attempt == ATTEMPTS - 1 or not is_retryable(error):
                raise
        # At random, so that those who met do not meet again.
        await asyncio.sleep(random.uniform(0, min(MAX_WAIT_S, 0.005 * 2**attempt)))
    raise AssertionError("the last attempt returned or raised")


def is_retryable(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in RETRYABLE_SQLSTATES
