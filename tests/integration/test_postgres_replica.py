"""Lists come from a real streaming replica while it is up to date, and come without it too."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import read_replica as module
from db.accounts import users
from db.read_replica import ReadSessions
from db.session import Sessions
from db.settings import StoreSettings
from tests.support.http import World, world
from tests.support.postgres_replica import Replica, replica_of
from tests.support.waiting import HANG_S, until


@pytest.fixture(scope="module")
def replica(database_url: str) -> Iterator[Replica]:
    with replica_of(database_url) as started:
        yield started


@pytest.fixture(autouse=True)
def patient_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a replica that answers late, or is looked at rarely, is used too."""
    monkeypatch.setattr(module, "MAX_LAG_S", 60.0)
    monkeypatch.setattr(module, "TIMEOUT_S", 5.0)


@pytest.fixture
async def reading(sessions: Sessions, replica: Replica) -> AsyncIterator[ReadSessions]:
    """Looked at by hand, and found up to date."""
    reading = ReadSessions(sessions, replica.url)
    await until_used(reading)
    yield reading
    await reading.close()


async def until_used(reading: ReadSessions) -> None:
    async with asyncio.timeout(HANG_S):
        while not reading.up_to_date:
            await reading.check_replica()
            await asyncio.sleep(0.05)


async def on_replica(session: AsyncSession) -> bool:
    return bool(await session.scalar(text("SELECT pg_is_in_recovery()")))


async def emails(session: AsyncSession) -> set[str]:
    return set(await session.scalars(text("SELECT email FROM users")))


async def add(sessions: Sessions, email: str) -> None:
    async with sessions.begin() as session:
        await users.add(session, email, "no password")


async def looks(reading: ReadSessions) -> None:
    """Two: the second compares with what was written at the first."""
    await reading.check_replica()
    await asyncio.sleep(0.1)
    await reading.check_replica()


async def test_it_reads_the_replica_while_nothing_is_written_too(reading: ReadSessions) -> None:
    for _ in range(3):
        await looks(reading)
        await until_used(reading)
        assert await reading(on_replica)


async def test_it_reads_the_primary_before_the_first_comparison(
    sessions: Sessions, replica: Replica
) -> None:
    fresh = ReadSessions(sessions, replica.url)
    assert not await fresh(on_replica)
    await fresh.check_replica()
    assert not await fresh(on_replica)
    await fresh.close()


async def test_a_replica_that_lags_is_left_until_it_has_caught_up(
    reading: ReadSessions, sessions: Sessions, replica: Replica
) -> None:
    replica.ask("SELECT pg_wal_replay_pause()")
    try:
        await add(sessions, "late@example.com")
        assert await reading(emails) == set()  # not noticed yet: this is the moment it may lag
        await looks(reading)
        assert await reading(emails) == {"late@example.com"}
        assert not await reading(on_replica)
    finally:
        replica.ask("SELECT pg_wal_replay_resume()")
    await until_used(reading)
    assert await reading(on_replica)
    assert await reading(emails) == {"late@example.com"}


async def test_a_replica_that_is_cut_off_is_left(
    reading: ReadSessions, sessions: Sessions, replica: Replica
) -> None:
    """It has replayed everything that it received, and knows of nothing else."""
    replica.cut_off()
    try:
        await asyncio.sleep(0.5)
        await add(sessions, "unheard@example.com")
        await looks(reading)
        same = "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()"
        assert replica.ask(same) is True
        assert await reading(emails) == {"unheard@example.com"}
    finally:
        replica.join_again()
    await until_used(reading)


async def test_without_looks_it_is_left_soon(
    reading: ReadSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until_used(reading)
    assert await reading(on_replica)
    monkeypatch.setattr(module, "MAX_LAG_S", 0.01)
    await asyncio.sleep(0.05)
    assert not await reading(on_replica)


async def test_a_primary_given_as_its_own_replica_is_not_one(
    sessions: Sessions, database_url: str
) -> None:
    itself = ReadSessions(sessions, database_url)
    await looks(itself)
    assert not itself.up_to_date
    await itself.close()


async def test_a_promoted_replica_is_left(sessions: Sessions, database_url: str) -> None:
    """It has all that the primary wrote until now, and from here on goes its own way."""
    with replica_of(database_url) as leaving:
        reading = ReadSessions(sessions, leaving.url)
        await until_used(reading)
        assert leaving.ask("SELECT pg_promote()") is True
        await looks(reading)
        assert not reading.up_to_date
        await reading.close()


async def test_a_frozen_replica_costs_a_moment_and_a_killed_one_nothing(
    reading: ReadSessions, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.freeze()
    began = time.monotonic()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(module, "TIMEOUT_S", 1.0)
            async with asyncio.timeout(HANG_S):
                assert not await reading(on_replica)
    finally:
        replica.thaw()
    assert time.monotonic() - began < 30
    await until_used(reading)
    replica.kill()
    try:
        began = time.monotonic()
        assert not await reading(on_replica)
        assert time.monotonic() - began < 15
        await looks(reading)
        assert not await reading(on_replica)
    finally:
        replica.start()
    await until_used(reading)
    assert await reading(on_replica)


@pytest.fixture
async def api(
    sessions: Sessions, redis: Redis, store_settings: StoreSettings, replica: Replica
) -> AsyncIterator[World]:
    stores = store_settings.model_copy(update={"database_replica_url": SecretStr(replica.url)})
    async with world(stores) as served:
        async with asyncio.timeout(HANG_S):
            while not served.clients.read_sessions.up_to_date:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.05)
        yield served


def statements_of(engine: AsyncEngine | None) -> list[str]:
    """What is asked there from now on, but for the watch's own."""
    assert engine is not None
    seen: list[str] = []

    def note(*arguments: object) -> None:
        if "pg_last_wal_replay_lsn" not in str(arguments[2]):
            seen.append(str(arguments[2]))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return seen


async def test_lists_alone_are_read_there(api: World) -> None:
    person = await api.guest()
    seen = statements_of(api.clients.read_sessions.engine)
    job_id = await person.job()
    for path in (f"/v1/jobs/{job_id}", "/v1/credits", "/v1/api-keys", "/v1/files", "/v1/personas"):
        assert (await person.get(path)).status_code == 200
    assert (await person.post(f"/v1/jobs/{job_id}/cancel")).status_code == 200
    assert seen == []
    for path, table in (("/v1/jobs", "jobs"), ("/v1/credits/transactions", "transactions")):
        await until(lambda: api.clients.read_sessions.up_to_date)
        seen.clear()
        assert (await person.get(path)).status_code == 200
        assert seen
        for statement in seen:
            assert statement.lstrip().startswith("SELECT") and f"FROM {table}" in statement


async def test_the_lists_show_what_happened_a_moment_later(api: World) -> None:
    person = await api.guest()
    job_id = await person.job()

    async def is_shown() -> bool:
        jobs = (await person.get("/v1/jobs")).json()["data"]
        return [job["id"] for job in jobs] == [job_id] and api.clients.read_sessions.up_to_date

    await until(is_shown)


async def test_lists_are_answered_when_the_replica_was_killed(api: World, replica: Replica) -> None:
    person = await api.guest()
    job_id = await person.job()
    replica.kill()
    try:
        answer = await person.get("/v1/jobs")
        assert [job["id"] for job in answer.json()["data"]] == [job_id]
        assert (await person.get("/v1/credits/transactions")).status_code == 200
        assert not api.clients.read_sessions.up_to_date
    finally:
        replica.start()
