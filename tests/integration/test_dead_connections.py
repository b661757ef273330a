"""Connections that the server ended while nobody used them are replaced before they are used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from db import pool_check
from db.session import make_sessions, make_statement_sessions, open_engine

_PID = text("SELECT pg_backend_pid()")
_END = text("SELECT pg_terminate_backend(:pid, 10000)")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A pool of one connection."""
    pool = open_engine(database_url, connections=1)
    yield pool
    await pool.dispose()


async def pid_of(pool: AsyncEngine) -> int:
    async with make_sessions(pool)() as session:
        return int((await session.execute(_PID)).scalar_one())


async def test_a_connection_that_the_server_ended_is_replaced(
    pool: AsyncEngine, database_url: str
) -> None:
    used = await pid_of(pool)
    assert await pid_of(pool) == used, "it is kept"
    other = open_engine(database_url, connections=1)
    async with make_sessions(other)() as session:
        assert (await session.execute(_END, {"pid": used})).scalar_one()
    await other.dispose()
    assert await pid_of(pool) != used


async def test_connections_of_a_rush_are_kept_for_the_next(database_url: str) -> None:
    pool = open_engine(database_url, connections=6)
    opened: list[object] = []
    event.listen(pool.sync_engine, "connect", lambda connection, _: opened.append(connection))
    everybody = asyncio.Barrier(6)

    async def ask() -> None:
        async with make_sessions(pool)() as session:
            await session.execute(_PID)
            await everybody.wait()

    for _ in range(3):
        await asyncio.gather(*(ask() for _ in range(6)))
    await pool.dispose()
    assert len(opened) == 6


async def test_only_one_that_was_idle_is_pinged(
    pool: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings: list[object] = []
    dialect = pool.sync_engine.dialect
    ping = dialect.do_ping

    def counted(connection: Any) -> bool:
        pings.append(connection)
        return ping(connection)

    monkeypatch.setattr(dialect, "do_ping", counted)
    used = await pid_of(pool)
    assert await pid_of(pool) == used and not pings
    monkeypatch.setattr(pool_check, "PING_AFTER_S", -1.0)
    assert await pid_of(pool) == used and len(pings) == 1


async def test_each_statement_is_a_transaction_where_nothing_else_is_wanted(
    pool: AsyncEngine,
) -> None:
    async with make_statement_sessions(pool)() as session:
        in_transaction = text("SELECT now() = statement_timestamp()")
        await session.execute(in_transaction)
        assert (await session.execute(in_transaction)).scalar_one(), "a transaction of its own"
    async with make_sessions(pool)() as session:
        await session.execute(in_transaction)
        assert not (await session.execute(in_transaction)).scalar_one(), "as all others are"
