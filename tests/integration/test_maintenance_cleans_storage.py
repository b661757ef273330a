"""The keeper erases what is of no more use and nothing else, and its loop outlives its tasks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import func, insert, select, update

from billing.settlement import Settlement, settle
from db.ids import new_id
from db.object_store import ObjectStore
from db.outbox import rows as outbox
from db.redis.queue import QueueCounts
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import File, IdempotencyKey, Job, Outbox
from deployments.maintenance import clean_storage
from deployments.maintenance.clean_storage import (
    sweep_leftovers,
    sweep_orphans,
    sweep_rows,
    sweep_temp,
)
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deployment import TASKS, MaintenanceLoop, MaintenanceTask
from tests.support.jobs import claim, make_due, money, silence, submit, undelivered
from tests.support.maintenance import change, nobody_there, statuses
from tests.support.scribe import SPEC
from tests.support.waiting import until

AT_ONCE = timedelta(0)
AN_HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


async def put(objects: ObjectStore, *keys: str) -> None:
    for key in keys:
        await objects.put_bytes(key, b"x", "text/plain")


async def keys(objects: ObjectStore, prefix: str = "") -> set[str]:
    return {found.key for found in await objects.list(prefix)}


async def ended_job(
    maintenance: MaintenanceContext, user_id: str, status: str, attempt: int, *names: str
) -> tuple[str, list[str]]:
    """A job that ended just now in that attempt; the keys of what it made."""
    job_id = await submit(maintenance.stores.sessions, SPEC, user_id, text="x")
    job = await claim(maintenance.stores.sessions, job_id, 1)
    await change(maintenance.stores.sessions, job_id, attempt=attempt)
    made = [f"outputs/{user_id}/{job_id}/{attempt}-{name}" for name in names]
    await put(maintenance.stores.objects, *made)
    job.attempt = attempt
    ending = Settlement(status, outputs=[{"object_key": key} for key in made])
    async with maintenance.stores.sessions.begin() as session:
        assert await settle(session, job, ending) is not None
    return job_id, made


# Leftovers


async def test_an_upload_that_no_row_names_is_swept_and_no_other(
    maintenance: MaintenanceContext, user_id: str
) -> None:
    objects = maintenance.stores.objects
    orphans = {f"inputs/{user_id}/job_a/picture.png", f"references/{user_id}/file_b-a.png"}
    known = f"inputs/{user_id}/file_c/a.png"
    await put(objects, known, *orphans)
    row = {"name": "a.png", "content_type": "image/png", "bytes": 1, "sha256": ""}
    async with maintenance.stores.sessions.begin() as session:
        session.add(
            File(id=new_id("file"), user_id=user_id, purpose="input", object_key=known, **row)
        )
    assert await sweep_orphans(maintenance) == 0, "a request may be at it"
    assert await sweep_orphans(maintenance, AT_ONCE) >= 2
    left = await keys(objects, "inputs/") | await keys(objects, "references/")
    assert known in left
    assert not left & orphans


async def test_leftovers_of_lost_attempts_are_erased_and_the_outputs_kept(
    maintenance: MaintenanceContext, user_id: str
) -> None:
    objects = maintenance.stores.objects
    job_id, made = await ended_job(maintenance, user_id, "succeeded", 2, "a.txt", "b.txt")
    folder = f"outputs/{user_id}/{job_id}"
    await put(objects, f"{folder}/1-a.txt", f"{folder}/1-b.txt", f"{folder}/3-a.txt")
    await put(objects, f"outputs/{user_id}/{job_id}x/1-a.txt", f"inputs/{user_id}/{job_id}/1-a.txt")
    assert await sweep_leftovers(maintenance, AT_ONCE, AN_HOUR) == 3
    assert await keys(objects, f"{folder}/") == set(made)
    assert len(await keys(objects)) == 4, "what belongs to others is there"
    assert await sweep_leftovers(maintenance, AT_ONCE, AN_HOUR) == 0


@pytest.mark.parametrize("status", ["failed", "canceled"])
async def test_a_job_that_ended_without_outputs_leaves_nothing_behind(
    maintenance: MaintenanceContext, user_id: str, status: str
) -> None:
    job_id, _ = await ended_job(maintenance, user_id, status, 1)
    await put(maintenance.stores.objects, f"outputs/{user_id}/{job_id}/1-half.txt")
    assert await sweep_leftovers(maintenance, AT_ONCE, AN_HOUR) == 1
    assert await keys(maintenance.stores.objects) == set()


async def test_the_files_of_a_job_that_is_not_final_are_left_alone(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    running, lost = [await submit(sessions, SPEC, user_id, text="x") for _ in range(2)]
    await claim(sessions, running, 1)
    await change(sessions, running, attempt=2)
    await change(sessions, lost, attempt=2)
    for job_id in (running, lost):
        await put(maintenance.stores.objects, f"outputs/{user_id}/{job_id}/2-a.txt")
    assert await sweep_leftovers(maintenance, AT_ONCE, AN_HOUR) == 0
    assert len(await keys(maintenance.stores.objects)) == 2


async def test_a_job_is_swept_only_once_a_lost_attempt_can_have_finished_its_upload(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id, _ = await ended_job(maintenance, user_id, "failed", 1)
    await put(maintenance.stores.objects, f"outputs/{user_id}/{job_id}/1-half.txt")
    assert await sweep_leftovers(maintenance) == 0
    await change(sessions, job_id, finished_at=func.now() - timedelta(minutes=6))
    assert await sweep_leftovers(maintenance) == 1


async def test_however_many_jobs_failed_all_of_them_are_swept(
    maintenance: MaintenanceContext, user_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_storage, "PAGE", 2)
    for _ in range(5):
        job_id, _ = await ended_job(maintenance, user_id, "failed", 1)
        await put(maintenance.stores.objects, f"outputs/{user_id}/{job_id}/1-half.txt")
    assert await sweep_leftovers(maintenance, AT_ONCE, AN_HOUR) == 5
    assert await keys(maintenance.stores.objects) == set()


# Temporary objects


class Stopped:
    """A clock that stands still, in the place of ``datetime``."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self, zone: tzinfo) -> datetime:
        return self._at.astimezone(zone)


async def test_old_temporary_objects_go_and_young_ones_stay(
    maintenance: MaintenanceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = maintenance.stores.objects
    await put(objects, "temp/job_a/old.png", "outputs/usr_a/job_a/1-old.png")
    (old,) = await objects.list("temp/")
    assert old.modified is not None
    await asyncio.sleep(2.5)  # the store counts in seconds
    await put(objects, "temp/job_a/young.png")
    assert await sweep_temp(maintenance) == 0, "not a day old"
    monkeypatch.setattr(clean_storage, "datetime", Stopped(old.modified + timedelta(seconds=1)))
    assert await sweep_temp(maintenance, AT_ONCE) == 1
    assert await keys(objects) == {"temp/job_a/young.png", "outputs/usr_a/job_a/1-old.png"}


# Rows


async def test_idempotency_keys_go_after_their_day(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    day = timedelta(hours=24)
    ages = {"new": AT_ONCE, "almost": day - SECOND * 30, "spent": day + SECOND}
    async with sessions.begin() as session:
        rows = [
            {
                "user_id": user_id,
                "key": key,
                "body_hash": "x",
                "resource_id": "job_x",
                "created_at": datetime.now(UTC) - waited,
            }
            for key, waited in ages.items()
        ]
        await session.execute(insert(IdempotencyKey), rows)
    assert await sweep_rows(maintenance) == 1
    async with sessions() as session:
        assert set(await session.scalars(select(IdempotencyKey.key))) == {"new", "almost"}


async def test_outbox_rows_go_a_week_after_they_were_delivered_and_never_before_it(
    maintenance: MaintenanceContext, sessions: Sessions
) -> None:
    week = timedelta(days=7)
    delivered = {"now": AT_ONCE, "almost": week - SECOND * 30, "long ago": week + SECOND}
    async with sessions.begin() as session:
        for key in ("never", *delivered):
            await outbox.write(session, outbox.NOTIFY, key, {})
        await session.execute(update(Outbox).values(created_at=func.now() - timedelta(days=30)))
        for key, waited in delivered.items():
            done = update(Outbox).where(Outbox.natural_key == key)
            await session.execute(done.values(done_at=func.now() - waited))
    assert await sweep_rows(maintenance) == 1
    async with sessions() as session:
        assert set(await session.scalars(select(Outbox.natural_key))) == {"never", "now", "almost"}


async def test_webhooks_that_were_given_up_can_be_looked_at_for_a_month(
    maintenance: MaintenanceContext, sessions: Sessions
) -> None:
    month = timedelta(days=30)
    async with sessions.begin() as session:
        for key, waited in {"almost": month - SECOND * 30, "old": month + SECOND}.items():
            await outbox.write(session, outbox.WEBHOOK, key, {})
            done = update(Outbox).where(Outbox.natural_key == key)
            await session.execute(done.values(done_at=func.now() - waited, error="away"))
    assert await sweep_rows(maintenance) == 1
    async with sessions() as session:
        assert set(await session.scalars(select(Outbox.natural_key))) == {"almost"}


# The loop that does all of it


@asynccontextmanager
async def keeper(
    settings: StoreSettings, tasks: Sequence[MaintenanceTask] = TASKS
) -> AsyncIterator[MaintenanceLoop]:
    async def crashed(replica: str) -> bool:
        return False

    loop = MaintenanceLoop(settings, [SPEC.name], crashed, tasks)
    try:
        yield loop
    finally:
        async with asyncio.timeout(120):
            await loop.close()


class Counted:
    """A task that counts its rounds, and does in each what it is told to."""

    def __init__(self, each: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.rounds = 0
        self.each = each

    async def __call__(self, maintenance: MaintenanceContext) -> int:
        self.rounds += 1
        if self.each is not None:
            await self.each()
        return 0

    async def went_on(self) -> bool:
        return self.rounds >= 3


async def test_the_keeper_as_deployed_restores_delivers_and_recovers(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    store_settings: StoreSettings,
    redis: Redis,
) -> None:
    waiting, lost = [await submit(sessions, SPEC, user_id, text="x") for _ in range(2)]
    await claim(sessions, lost, 1)
    await silence(sessions, lost)
    await make_due(sessions)
    queue = maintenance.queues[SPEC.name]

    async def in_order() -> bool:
        return await queue.contains(names) == names and not await undelivered(sessions, "enqueue")

    names = {f"{waiting}-1", f"{lost}-2"}
    async with keeper(store_settings) as loop:
        await until(in_order)
        await redis.flushdb()
        await until(in_order)
        loop.check()
    assert await statuses(sessions, [waiting, lost]) == ["queued", "queued"]
    assert await money(sessions, user_id) == (94, 6)


async def test_two_keepers_side_by_side_do_not_double_a_message(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, store_settings: StoreSettings
) -> None:
    job_ids = [await submit(sessions, SPEC, user_id, text="x") for _ in range(5)]
    await make_due(sessions)

    async def delivered() -> bool:
        return not await undelivered(sessions, outbox.ENQUEUE)

    async with keeper(store_settings), keeper(store_settings):
        await until(delivered)
        await asyncio.sleep(2.5)  # two more rounds of each
    counts = await maintenance.queues[SPEC.name].counts()
    assert counts == QueueCounts(waiting=len(job_ids), active=0)
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Job)) == 5


async def test_a_task_that_fails_is_done_again_and_delays_no_other(
    store_settings: StoreSettings,
) -> None:
    async def fail() -> None:
        raise LookupError("something nobody thought of")

    failing, other = Counted(fail), Counted()
    tasks = [MaintenanceTask("failing", failing, 0.05), MaintenanceTask("other", other, 0.05)]
    async with keeper(store_settings, tasks) as loop:
        await until(failing.went_on)
        await until(other.went_on)
        loop.check()


async def test_a_task_that_hangs_is_given_up_and_done_again(store_settings: StoreSettings) -> None:
    hanging = Counted(lambda: asyncio.sleep(3600))
    async with keeper(
        store_settings, [MaintenanceTask("hanging", hanging, 0.05, timeout_s=0.1)]
    ) as loop:
        await until(hanging.went_on)
        loop.check()


async def test_a_task_that_will_never_run_again_is_named(store_settings: StoreSettings) -> None:
    async def leave() -> None:
        raise asyncio.CancelledError

    tasks = [
        MaintenanceTask("gone", Counted(leave), 0.05),
        MaintenanceTask("there", Counted(), 0.05),
    ]
    async with keeper(store_settings, tasks) as loop:

        async def somebody_is_named() -> bool:
            try:
                loop.check()
            except RuntimeError as told:
                assert "gone" in str(told) and "there" not in str(told)
                return True
            return False

        await until(somebody_is_named)


async def test_a_closed_keeper_does_nothing_more(store_settings: StoreSettings) -> None:
    task = Counted()
    async with keeper(store_settings, [MaintenanceTask("task", task, 0.05)]):
        await until(task.went_on)
    rounds = task.rounds
    await asyncio.sleep(0.3)
    assert task.rounds == rounds


async def test_a_keeper_that_starts_before_its_stores_waits_for_them(
    store_settings: StoreSettings,
) -> None:
    with nobody_there() as address:
        down = store_settings.model_copy(
            update={
                "redis_url": SecretStr(f"redis://{address}/0"),
                "database_url": SecretStr(f"postgresql+psycopg://nobody@{address}/none"),
                "s3_endpoint": f"http://{address}",
            }
        )
        async with keeper(down) as loop:
            await asyncio.sleep(4)
            loop.check()
