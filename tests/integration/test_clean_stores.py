"""What a test leaves in the database is not there for the next one."""

import asyncio

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from db.session import Sessions
from db.tables import Base, Entry, User
from tests.support import stores
from tests.support.jobs import new_user, submit
from tests.support.scribe import SPEC


async def left(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return [
            name
            for name, table in Base.metadata.tables.items()
            if await session.scalar(select(func.count()).select_from(table))
        ]


async def empty(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await stores.empty(connection)


@pytest.mark.parametrize("large", [False, True])
async def test_no_row_is_left_and_numbers_begin_anew(
    sessions: Sessions, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        everything_is = stores._FULL.replace(f"> {stores._LARGE_BYTES} AS", "> 0 AS")
        monkeypatch.setattr(stores, "_FULL", everything_is)
    for _ in range(2):
        assert await left(sessions) == []
        await submit(sessions, SPEC, await new_user(sessions), text="x")
        assert len(await left(sessions)) > 3
        async with sessions() as session:
            assert await session.scalar(select(func.min(Entry.id))) == 1
        await empty(engine)
    assert await left(sessions) == []


async def test_a_transaction_that_still_writes_is_waited_for(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    row = {"id": "user_late", "email": "late@example.com", "password_hash": ""}
    async with sessions.begin() as session:
        await session.execute(insert(User).values(**row))
        emptied = asyncio.create_task(empty(engine))
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        while not await session.scalar(waits):
            assert not emptied.done()
            await asyncio.sleep(0.05)
    await emptied
    assert await left(sessions) == []
