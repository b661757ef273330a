"""The Postgres connection pool and its sessions.

Functions in ``db`` and ``billing`` take a session and never commit: the caller owns the
transaction (``async with sessions.begin() as session``), so that money and job state change in one.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from pydantic_core import from_json
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from db.pool_check import check_connections
from db.retries import retry_context

Sessions = async_sessionmaker[AsyncSession]


DRIVER = "postgresql+psycopg://"


def with_driver(url: str) -> str:
    """Add our driver to the plain ``postgresql://`` address that providers give.

    Raises:
        ValueError: it is no address of Postgres.
    """
    for plain in ("postgres://", "postgresql://"):
        if url.startswith(plain):
            return DRIVER + url.removeprefix(plain)
    if not url.startswith(DRIVER):
        raise ValueError("must be a postgresql:// address")
    return url


CONNECT_TIMEOUT_S = 3
POOL_TIMEOUT_S = 5  # for a free connection
LOCK_TIMEOUT_S = 10  # for a row that another transaction holds


def open_engine(url: str, connections: int = 20) -> AsyncEngine:
    """Open a pool for ``postgresql://...``; dead connections are detected and replaced.

    ``connections`` are opened at most, each when all others are in use, and kept: to open one costs
    the server a process and both sides a handshake, more than what a job asks of it.

    READ COMMITTED is enough: every change that could race is a guarded UPDATE or comes after the
    lock on the user's row.
    """
    engine = create_async_engine(
        with_driver(url),
        pool_size=connections,
        max_overflow=0,
        pool_use_lifo=True,  # those that only a rush needed stay idle
        pool_timeout=POOL_TIMEOUT_S,
        skip_autocommit_rollback=True,
        json_deserializer=from_json,  # four times as fast as json.loads, and a job has five columns
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_S}s",
        },
    )
    check_connections(engine)
    return engine


def make_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)


def make_statement_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions in which each statement is a transaction of its own.

    For what is one statement: a BEGIN and a COMMIT or ROLLBACK would be two more round trips.
    """
    return make_sessions(engine.execution_options(isolation_level="AUTOCOMMIT"))


T = TypeVar("T")


async def read_again(read: Callable[[], Awaitable[T]]) -> T:
    """Return what ``read`` reads; once more if its connection was lost meanwhile."""
    try:
        return await read()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return await read()


Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


# serialization_failure and deadlock_detected: rolled back as a whole, and retried.
RETRYABLE_SQLSTATES = frozenset({"40001", "40P01"})


ATTEMPTS = 12


FIRST_WAIT_S = 0.005


MAX_WAIT_S = 1.0


async def transact(
    sessions: Sessions,
    work: Callable[[AsyncSession], Awaitable[T]],
    isolation: Isolation | None = None,
) -> T:
    """Run ``work`` in a transaction and commit; run it again after a serialization failure.

    ``work`` may therefore run several times and must do nothing outside of its session.

    Raises:
        sqlalchemy.exc.DBAPIError: still in conflict after twelve attempts, or another failure.
    """

    def pause(error: Exception) -> float | bool:
        # Random, so that conflicting transactions do not collide again.
        return is_retryable(error) and random.uniform(0, attempt.next_wait)

    async for attempt in retry_context(
        on=pause,
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=FIRST_WAIT_S,
        wait_max=MAX_WAIT_S,
        wait_jitter=0,
    ):
        with attempt:
            async with sessions.begin() as session:
                if isolation is not None:
                    await session.connection(execution_options={"isolation_level": isolation})
                return await work(session)
    raise AssertionError("the last attempt returned or raised")


def is_retryable(error: Exception) -> bool:
    return (
        isinstance(error, DBAPIError)
        and getattr(error.orig, "sqlstate", None) in RETRYABLE_SQLSTATES
    )
