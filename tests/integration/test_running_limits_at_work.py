"""Limits at work: replicas are left in peace, messages are not lost, and no order of events exceeds
a limit or leaves room unused. Real stores."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

import deployments.worker.runner
from billing import concurrency
from db.redis.queue import QueueCounts
from db.redis.queue_worker import make_worker
from db.session import Sessions
from db.tables import Job
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.reconcile_queues import reconcile_queues
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from deployments.maintenance.relay_outbox import relay_outbox
from deployments.maintenance.resume_deferred_jobs import resume_deferred_jobs
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext
from deployments.worker.requeue_on_drain import requeue_drained_job
from deployments.worker.runner import LoadedGenerator
from tests.support.deferred_jobs import OTHER, deferred, end, full, limit, take
from tests.support.jobs import make_due, money, new_user, silence, submit
from tests.support.maintenance import push, replicas
from tests.support.scribe import SPEC
from tests.support.waiting import until

AT_ONCE = timedelta(0)
MANY = 250


@pytest.fixture
async def ada(sessions: Sessions) -> str:
    return await new_user(sessions, credits=10_000)


async def test_a_message_pushed_again_while_it_is_held_is_not_lost(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str, redis_url: str
) -> None:
    """The replica that parked the job takes its time to let go of the message."""
    let_go, taken = asyncio.Event(), asyncio.Event()
    queue = maintenance.queues[SPEC.name]
    first, second = await full(sessions, ada, 1, 1)

    async def process(job_id: str, attempt: int) -> None:
        taken.set()
        await let_go.wait()

    await push(maintenance, second)
    worker = make_worker(redis_url, SPEC.name, process)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(taken.wait(), 120)
        await end(sessions, first)
        await make_due(sessions)
        await relay_outbox(maintenance)
        assert await queue.position(second, 1) is None, "the queue ignored it"
        assert await reconcile_queues(maintenance, AT_ONCE) == 0, "while it is held nobody can tell"
    finally:
        let_go.set()
        await worker.drain()
        await running
    assert await reconcile_queues(maintenance, AT_ONCE) == 1
    assert await queue.position(second, 1) is not None


async def test_jobs_above_the_limit_keep_no_replica_busy(
    maintenance: MaintenanceContext,
    loaded: LoadedGenerator,
    sessions: Sessions,
    ada: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await full(sessions, ada, 2, 0)
    claims, claim = 0, concurrency.claim_or_defer

    async def counted(*given: Any) -> Job | None:
        nonlocal claims
        claims += 1
        return await claim(*given)

    monkeypatch.setattr(deployments.worker.runner.concurrency, "claim_or_defer", counted)
    made = [await submit(sessions, SPEC, ada, text="x") for _ in range(MANY)]
    for job_id in made:
        await push(maintenance, job_id)

    async def all_parked() -> bool:
        return len(await deferred(sessions, ada)) == MANY

    async with replicas(maintenance, loaded, redis_url, count=4):
        await until(all_parked, seconds=240)
        assert claims == MANY, "each was looked at once"
        for _ in range(4):
            await asyncio.sleep(0.5)
            assert (
                await reconcile_queues(maintenance, AT_ONCE)
                + await resume_deferred_jobs(maintenance)
                == 0
            )
        assert claims == MANY, "and then no more"
        assert await maintenance.queues[SPEC.name].counts() == QueueCounts(0, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_no_limit_is_exceeded_and_no_room_is_left(
    maintenance: MaintenanceContext, sessions: Sessions, tmp_path: Path, seed: int
) -> None:
    """Submits, claims, ends, losses, hand-backs and cancels of three users at once, seeded."""
    chance = random.Random(seed)
    most = {await new_user(sessions, credits=10_000): bound for bound in (1, 2, 4)}
    for user_id, bound in most.items():
        await limit(sessions, user_id, bound)

    async def some(status: str) -> Job | None:
        async with sessions() as session:
            query = select(Job).where(Job.status == status).order_by(Job.id)
            found = (await session.scalars(query)).all()
        return chance.choice(found) if found else None

    async def submitted() -> None:
        spec, priority = chance.choice((SPEC, OTHER)), chance.choice(("high", "normal", "low"))
        await submit(sessions, spec, chance.choice(list(most)), priority, text="x")

    async def claimed() -> None:
        job = await some("queued")
        if job is not None:  # parked ones too: a message may come twice
            await take(sessions, job.id, job.attempt + 1)

    async def ended() -> None:
        job = await some("running")
        if job is not None:
            await end(sessions, job.id, chance.choice(("succeeded", "failed", "canceled")))

    async def canceled() -> None:
        job = await some("queued")
        if job is not None:
            await end(sessions, job.id, "canceled")

    async def lost() -> None:
        job = await some("running")
        if job is not None:
            await silence(sessions, job.id)
            await recover_lost_jobs(maintenance)

    async def handed_back() -> None:
        job = await some("running")
        if job is not None:
            with suppress(AttemptLost):  # another step was first
                await requeue_drained_job(maintenance.stores, job, RunContext(job.seed, tmp_path))

    events = (submitted, claimed, ended, canceled, lost, handed_back)
    for _ in range(60):
        steps = chance.choices(events, (8, 10, 4, 1, 1, 1), k=5)
        await asyncio.gather(*(step() for step in steps))
        for user_id, bound in most.items():
            await check(sessions, user_id, bound)
    # Then every message that is out is taken, and everything ends.
    while (job := await some("running")) or (job := await some("queued")):
        if job.status == "running":
            await end(sessions, job.id)
        else:
            async with sessions() as session:
                out = await session.scalars(
                    select(Job).where(Job.status == "queued", Job.deferred_at.is_(None))
                )
                waiting = out.all()
            assert waiting, "those that are left wait for nothing"
            for one in waiting:
                await take(sessions, one.id, one.attempt + 1)
                await check(sessions, one.user_id, most[one.user_id])


async def check(sessions: Sessions, user_id: str, bound: int) -> None:
    """At most ``bound`` run; where some are parked, others have messages for all the room."""
    async with sessions() as session:
        running = await session.scalar(
            select(func.count()).where(Job.user_id == user_id, Job.status == "running")
        )
        rows = (
            await session.scalars(select(Job).where(Job.user_id == user_id, Job.status == "queued"))
        ).all()
    assert running is not None and running <= bound
    for spec in (SPEC, OTHER):
        here = [row for row in rows if row.generator == spec.name]
        if any(row.deferred_at for row in here):
            assert sum(row.deferred_at is None for row in here) >= bound - running
    await money(sessions, user_id)
