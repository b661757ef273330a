"""Redis wiped, a replica killed, a message gone: the keeper puts it right, once. Real stores."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select
from structlog.testing import capture_logs

from billing import job_policy
from billing.settlement import Settlement
from db.errors import StoreUnavailable
from db.jobs import queue_states
from db.jobs.queue_states import QueueStatus
from db.outbox import rows as outbox
from db.redis.client import read_epoch
from db.redis.queue import JobQueue, QueueCounts
from db.session import Sessions
from db.tables import Entry, Job, Transaction
from deployments.contract import Artifact
from deployments.maintenance import reconcile_queues as queues
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.reconcile_queues import reconcile_queues, refill_if_wiped
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from deployments.maintenance.sync_queue_states import sync_queue_states
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext
from deployments.worker.outputs import upload_outputs
from deployments.worker.runner import LoadedGenerator, run_job
from deployments.worker.settle import settle_attempt
from tests.support.jobs import claim, money, read, silence, submit, undelivered
from tests.support.maintenance import (
    cancel_half_way,
    change,
    push,
    recorded,
    replicas,
    statuses,
    without_redis,
)
from tests.support.scribe import SPEC, Scribe
from tests.support.stores import events
from tests.support.waiting import until

AT_ONCE = timedelta(0)


def calls(loaded: LoadedGenerator) -> Counter[str]:
    assert isinstance(loaded.generator, Scribe)
    return loaded.generator.calls


async def submit_many(sessions: Sessions, user_id: str, count: int) -> list[str]:
    return [await submit(sessions, SPEC, user_id, text=f"job {n}") for n in range(count)]


async def waiting(maintenance: MaintenanceContext, *names: str) -> set[str]:
    return await maintenance.queues[SPEC.name].contains(names)


async def counts(maintenance: MaintenanceContext) -> QueueCounts:
    return await maintenance.queues[SPEC.name].counts()


async def booked(sessions: Sessions) -> tuple[Counter[str], int]:
    """How many movements of each kind there were, and the sum of all entries."""
    async with sessions() as session:
        kinds = Counter(await session.scalars(select(Transaction.kind)))
        return kinds, int(await session.scalar(select(func.sum(Entry.amount))) or 0)


# A wiped Redis


async def test_ten_queued_jobs_outlive_a_wiped_redis_and_run_once_each(
    maintenance: MaintenanceContext,
    loaded: LoadedGenerator,
    user_id: str,
    sessions: Sessions,
    redis: Redis,
    redis_url: str,
) -> None:
    job_ids = await submit_many(sessions, user_id, 10)
    assert await refill_if_wiped(maintenance) == 10, "a Redis without an epoch is a wiped one"
    await redis.flushdb()
    assert await counts(maintenance) == QueueCounts(0, 0)
    assert await refill_if_wiped(maintenance) == 10
    assert await counts(maintenance) == QueueCounts(waiting=10, active=0)
    assert await refill_if_wiped(maintenance) == 0, "once for each wipe"

    async def all_done() -> bool:
        return set(await statuses(sessions, job_ids)) == {"succeeded"}

    async with replicas(maintenance, loaded, redis_url):
        await until(all_done)
    assert calls(loaded) == {f"job {n}": 1 for n in range(10)}
    assert await counts(maintenance) == QueueCounts(0, 0)
    assert await money(sessions, user_id) == (70, 0)
    assert await booked(sessions) == ({"grant": 1, "hold": 10, "capture": 10}, 0)


async def test_only_a_redis_that_lost_messages_is_warned_of(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, redis: Redis
) -> None:
    with capture_logs() as said:
        assert await refill_if_wiped(maintenance) == 0
    assert said == [], "a new installation's Redis is empty, and lost nothing"
    await submit_many(sessions, user_id, 1)
    await redis.flushdb()
    with capture_logs() as said:
        assert await refill_if_wiped(maintenance) == 1
    (warning,) = said
    assert (warning["event"], warning["log_level"]) == ("queues_refilled", "warning")


async def test_jobs_under_way_when_redis_is_wiped_are_neither_lost_nor_run_twice(
    maintenance: MaintenanceContext,
    loaded: LoadedGenerator,
    user_id: str,
    sessions: Sessions,
    redis: Redis,
    redis_url: str,
) -> None:
    first = await submit(sessions, SPEC, user_id, text="first", page_s=1.0)
    later = await submit(sessions, SPEC, user_id, text="later")
    await refill_if_wiped(maintenance)

    async def begun() -> bool:
        return calls(loaded)["first"] == 1

    async def all_done() -> bool:
        return await statuses(sessions, [first, later]) == ["succeeded", "succeeded"]

    async with replicas(maintenance, loaded, redis_url, count=1):
        await until(begun)
        await redis.flushdb()
        assert await refill_if_wiped(maintenance) == 1, "only what waits"
        await until(all_done)
    assert calls(loaded) == {"first": 1, "later": 1}
    assert await money(sessions, user_id) == (94, 0)


async def test_a_refill_keeps_the_order_of_the_priorities(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    submitted = {
        priority: await submit(sessions, SPEC, user_id, priority, text=priority)
        for priority in ("low", "normal", "high")
    }
    await refill_if_wiped(maintenance)
    queue = maintenance.queues[SPEC.name]
    order = [await queue.position(submitted[name], 1) for name in ("high", "normal", "low")]
    assert order == [0, 1, 2]


async def test_a_refill_interrupted_in_the_middle_is_done_again(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await submit_many(sessions, user_id, 10)
    real_push, pushed = JobQueue.push, 0

    async def breaking(self: JobQueue, *args: int) -> None:
        nonlocal pushed
        pushed += 1
        if pushed == 5:
            raise StoreUnavailable("redis")
        await real_push(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(JobQueue, "push", breaking)
    with pytest.raises(StoreUnavailable):
        await refill_if_wiped(maintenance)
    assert await counts(maintenance) == QueueCounts(waiting=4, active=0)
    assert await read_epoch(redis) is None
    assert await refill_if_wiped(maintenance) == 10
    assert await counts(maintenance) == QueueCounts(waiting=10, active=0), (
        "four came twice, as one each"
    )
    assert await read_epoch(redis) is not None


# A message that vanished


async def test_reconcile_finds_the_queued_row_whose_message_vanished_and_only_that(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "PAGE", 2)
    job_ids = await submit_many(sessions, user_id, 5)
    for job_id in job_ids:
        await push(maintenance, job_id)
    running, done = await submit_many(sessions, user_id, 2)
    await claim(sessions, running, 1)
    await change(sessions, done, status="canceled", credits_held=0, finished_at=func.now())
    assert await reconcile_queues(maintenance, AT_ONCE) == 0
    assert await maintenance.queues[SPEC.name].remove(job_ids[3], 1)
    assert await reconcile_queues(maintenance, AT_ONCE) == 1
    assert await waiting(maintenance, f"{job_ids[3]}-1") == {f"{job_ids[3]}-1"}
    assert await counts(maintenance) == QueueCounts(waiting=5, active=0)


async def test_reconcile_leaves_a_row_alone_that_is_just_being_pushed(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    await submit(sessions, SPEC, user_id, text="fresh")
    assert await reconcile_queues(maintenance) == 0
    assert await reconcile_queues(maintenance, AT_ONCE) == 1


async def test_reconcile_asks_for_the_attempt_that_comes_next(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="again")
    await push(maintenance, job_id, attempt=1)  # stale: that attempt was lost
    await change(sessions, job_id, attempt=1)
    assert await reconcile_queues(maintenance, AT_ONCE) == 1
    assert await waiting(maintenance, f"{job_id}-2") == {f"{job_id}-2"}


# A replica that went silent


async def test_a_silent_attempt_is_given_back_and_one_that_beats_is_not(
    maintenance: MaintenanceContext, loaded: LoadedGenerator, user_id: str, sessions: Sessions
) -> None:
    silent, alive = await submit_many(sessions, user_id, 2)
    for job_id in (silent, alive):
        await claim(sessions, job_id, 1)
    assert await recover_lost_jobs(maintenance) == 0
    await silence(sessions, silent)
    assert await recover_lost_jobs(maintenance) == 1
    row = await read(sessions, silent)
    assert (row.status, row.attempt, row.progress) == ("queued", 1, 0.0)
    assert await waiting(maintenance, f"{silent}-1", f"{silent}-2") == {f"{silent}-2"}
    assert f"{silent}-2" not in await undelivered(sessions, outbox.ENQUEUE), "pushed, so confirmed"
    assert (await events(maintenance.stores, silent))[-1] == {
        "type": "status",
        "status": "queued",
        "attempt": 1,
    }
    assert await statuses(sessions, [alive]) == ["running"]
    assert await money(sessions, user_id) == (94, 6), "it is still paid for"
    ended = await run_job(maintenance.stores, loaded, silent, 2)
    assert ended is not None and ended.status == "succeeded"
    assert await money(sessions, user_id) == (94, 3)


async def test_a_job_given_back_while_redis_is_down_is_pushed_from_the_outbox(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x")
    await claim(sessions, job_id, 1)
    await silence(sessions, job_id)
    async with without_redis(maintenance) as cut_off:
        assert await recover_lost_jobs(cut_off) == 1
    assert await statuses(sessions, [job_id]) == ["queued"]
    assert f"{job_id}-2" in await undelivered(sessions, outbox.ENQUEUE)


async def test_a_lost_job_of_a_generator_no_longer_served_holds_up_no_other(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    gone, served = await submit_many(sessions, user_id, 2)
    for job_id in (gone, served):
        await claim(sessions, job_id, 1)
        await silence(sessions, job_id)
    await change(sessions, gone, generator="gone", heartbeat_at=func.now() - timedelta(hours=1))
    assert await recover_lost_jobs(maintenance) == 2
    assert await statuses(sessions, [gone, served]) == ["queued", "queued"]
    assert await waiting(maintenance, f"{served}-2") == {f"{served}-2"}


@pytest.mark.parametrize("attempt", [1, 3])
async def test_a_job_lost_while_its_cancel_was_asked_for_is_canceled(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, attempt: int
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x", pages=2)
    await claim(sessions, job_id, 1)
    await cancel_half_way(sessions, job_id)
    await change(sessions, job_id, attempt=attempt)
    await silence(sessions, job_id)
    assert await recover_lost_jobs(maintenance) == 1
    row = await read(sessions, job_id)
    assert (row.status, row.attempt, row.credits_charged) == ("canceled", attempt, 3)
    assert await money(sessions, user_id) == (97, 0), "half was made, half is charged"
    assert await waiting(maintenance, f"{job_id}-{attempt + 1}") == set()
    assert (await events(maintenance.stores, job_id))[-1] == {"type": "done", "status": "canceled"}


async def test_a_woken_zombie_can_neither_settle_nor_record_files(
    maintenance: MaintenanceContext,
    loaded: LoadedGenerator,
    user_id: str,
    sessions: Sessions,
    tmp_path: Path,
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="mine")
    zombie = await claim(sessions, job_id, 1)
    await silence(sessions, job_id)
    assert await recover_lost_jobs(maintenance) == 1
    page = tmp_path / "page-0.txt"
    page.write_text("of a zombie")

    async def wake() -> None:
        context = RunContext(7, tmp_path)
        made = await upload_outputs(
            maintenance.stores, zombie, context, [Artifact(page, "text", "text/plain")]
        )
        for ending in (
            Settlement("succeeded", 1.0, made),
            Settlement("failed"),
            Settlement("canceled", 1.0),
        ):
            with pytest.raises(AttemptLost):
                await settle_attempt(maintenance.stores, zombie, context, ending)
        assert not any("/1-" in key for key in await recorded(sessions, job_id))

    await wake()
    assert await statuses(sessions, [job_id]) == ["queued"]
    assert await money(sessions, user_id) == (97, 3)
    ended = await run_job(maintenance.stores, loaded, job_id, 2)
    assert ended is not None
    await wake()
    row = await read(sessions, job_id)
    assert (row.status, row.attempt, row.outputs) == ("succeeded", 2, ended.outputs)
    assert await recorded(sessions, job_id) == [f"outputs/{user_id}/{job_id}/2-page-0.txt"]
    assert await booked(sessions) == ({"grant": 1, "hold": 1, "capture": 1}, 0)
    assert await money(sessions, user_id) == (97, 0)


# Two keepers


async def test_two_keepers_give_a_lost_job_back_once(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_ids = await submit_many(sessions, user_id, 5)
    for job_id in job_ids:
        await claim(sessions, job_id, 1)
        await silence(sessions, job_id)
    assert sum(await asyncio.gather(*(recover_lost_jobs(maintenance) for _ in range(2)))) == 5
    assert await counts(maintenance) == QueueCounts(waiting=5, active=0)
    assert await statuses(sessions, job_ids) == ["queued"] * 5
    assert {(await read(sessions, job_id)).attempt for job_id in job_ids} == {1}


async def test_two_keepers_end_a_lost_job_once(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_ids = await submit_many(sessions, user_id, 5)
    for job_id in job_ids:
        await claim(sessions, job_id, 1)
        await silence(sessions, job_id)
        await change(sessions, job_id, attempt=3, losses=job_policy.MAX_LOSSES - 1)
    assert sum(await asyncio.gather(*(recover_lost_jobs(maintenance) for _ in range(2)))) == 5
    assert await money(sessions, user_id) == (100, 0)
    assert await booked(sessions) == ({"grant": 1, "hold": 5, "release": 5}, 0)
    for job_id in job_ids:
        assert [event["type"] for event in await events(maintenance.stores, job_id)] == ["done"]


async def test_two_keepers_refill_and_reconcile_without_doubling_a_message(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    await submit_many(sessions, user_id, 10)
    await asyncio.gather(*(refill_if_wiped(maintenance) for _ in range(2)))
    assert await counts(maintenance) == QueueCounts(waiting=10, active=0)
    await asyncio.gather(*(reconcile_queues(maintenance, AT_ONCE) for _ in range(2)))
    assert await counts(maintenance) == QueueCounts(waiting=10, active=0)
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Job)) == 10


async def test_a_wiped_redis_forgets_a_pause_and_the_keeper_does_not(
    maintenance: MaintenanceContext, sessions: Sessions, redis: Redis
) -> None:
    assert await sync_queue_states(maintenance) == 0
    async with sessions.begin() as session:
        await queue_states.save(session, SPEC.name, QueueStatus(paused=True))
    assert await sync_queue_states(maintenance) == 1
    assert (await counts(maintenance)).paused
    await redis.flushdb()
    assert not (await counts(maintenance)).paused
    assert await sync_queue_states(maintenance) == 1
    assert (await counts(maintenance)).paused
    async with sessions.begin() as session:
        await queue_states.save(session, SPEC.name, QueueStatus(draining=True))
    assert await sync_queue_states(maintenance) == 1
    assert not (await counts(maintenance)).paused
