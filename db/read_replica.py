"""Read lists from a replica of Postgres while it is up to date.

Only lists that people read and that may be a few seconds old: decisions about credits, state or
access read the primary.

Once a second the replica is asked whether it has all that the primary had written a second before.
Times of replay do not help: they stand still without writes, and a disconnected replica believes
that it has everything. A list lacks the last two seconds at most, or ``MAX_LAG_S`` if checks take
long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from db.session import Sessions, make_statement_sessions, open_engine

POLL_INTERVAL_S = 1.0
MAX_LAG_S = 3.0
TIMEOUT_S = 1.0  # of a check, and of a read before the primary is used instead

REPLICA_ERRORS = (SQLAlchemyError, OSError, TimeoutError)

_WAL_POSITION = text("SELECT CAST(pg_current_wal_lsn() AS text)")
# False on a server that was promoted: it has diverged from our primary.
_HAS_REPLAYED = text(
    "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= CAST(:mark AS pg_lsn)"
)

NEVER = float("-inf")

T = TypeVar("T")
log = structlog.get_logger()


class ReadSessions:
    """Runs reads on the replica while it is up to date, else on the primary.

    Use: ``await read_sessions(lambda session: queries.page(session, ...))``.

    ``read`` must only read, and may be called twice. Its exceptions on the primary propagate.
    """

    def __init__(self, primary: Sessions, replica_url: str | None = None) -> None:
        """Connect to nothing yet; the replica is used once ``watch`` has found it up to date."""
        self._primary = primary
        self.engine = open_engine(replica_url) if replica_url else None
        self._replica = make_statement_sessions(self.engine) if self.engine is not None else None
        # The WAL position of the primary, and when (monotonic seconds) it was read.
        self._mark: tuple[str, float] | None = None
        self._complete_to = NEVER

    @property
    def up_to_date(self) -> bool:
        return time.monotonic() - self._complete_to < MAX_LAG_S

    async def __call__(self, read: Callable[[AsyncSession], Awaitable[T]]) -> T:
        if self._replica is not None and self.up_to_date:
            try:
                return await _with_timeout(_run_read(self._replica, read))
            except REPLICA_ERRORS as error:
                self._stop_using_replica(type(error).__name__)
        return await _run_read(self._primary, read)

    async def watch(self) -> None:
        """Check the replica once a second until cancelled; returns at once without a replica."""
        while self._replica is not None:
            await self.check_replica()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def check_replica(self) -> None:
        """Compare the replica with the primary's position at the previous check."""
        mark, self._mark = self._mark, None
        now = time.monotonic()
        try:
            has, written = await _with_timeout(self._compare(mark[0] if mark else None))
        except REPLICA_ERRORS as error:
            self._stop_using_replica(type(error).__name__)
            return
        self._mark = written, now
        if mark is not None and has:
            if not self.up_to_date:
                log.info("replica_used")
            self._complete_to = mark[1]
        else:
            self._stop_using_replica("behind")

    async def _compare(self, mark: str | None) -> tuple[bool, str]:
        """Return whether the replica has replayed ``mark``, and the primary's position now."""
        assert self._replica is not None
        async with self._primary() as session:
            written = str(await session.scalar(_WAL_POSITION))
        async with self._replica() as session:
            return bool(await session.scalar(_HAS_REPLAYED, {"mark": mark})), written

    def _stop_using_replica(self, why: str) -> None:
        if self.up_to_date:
            log.warning("replica_left", why=why)
        self._complete_to = NEVER

    async def close(self) -> None:
        if self.engine is not None:
            await self.engine.dispose()


async def _run_read(sessions: Sessions, read: Callable[[AsyncSession], Awaitable[T]]) -> T:
    async with sessions() as session:
        return await read(session)


async def _with_timeout(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` with a timeout and abandon it then: to cancel it, psycopg needs ten seconds if
    the server is silent."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({task}, timeout=TIMEOUT_S)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
