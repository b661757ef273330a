"""Hear what transactions tell by ``pg_notify``: it comes when they commit, in their order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncEngine


@asynccontextmanager
async def listening(engine: AsyncEngine, channel: str) -> AsyncIterator[AsyncIterator[str]]:
    """Take a connection of the pool until the block ends, and yield the payloads that come from
    now on. When the connection is lost, the iterator raises the driver's error.

    A connection that is silently dead, or a proxy that lends its connections by the transaction
    (PgBouncer), raises nothing and hears nothing: send something to yourself by another connection.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            await connection.exec_driver_sql(f"LISTEN {channel}")
            raw = await connection.get_raw_connection()
            driver = cast("AsyncConnection", raw.driver_connection)
            async with aclosing(_payloads(driver)) as payloads:
                yield payloads
        finally:
            # Closed, since nobody else may get it: it would hear on.
            await connection.invalidate()


async def _payloads(connection: AsyncConnection) -> AsyncGenerator[str]:
    async with aclosing(connection.notifies()) as notices:
        async for notice in notices:
            yield notice.payload
