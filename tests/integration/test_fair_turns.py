"""Whose job comes next, through the real queue: real Postgres, real Valkey, claims as replicas
make them."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

import pytest
from redis.asyncio import Redis
from sqlalchemy import insert, select, update

from billing import concurrency, fair_share, plans
from billing.settlement import Settlement, settle
from db.ids import new_id
from db.jobs import fair_queue
from db.redis.queue_worker import make_worker
from db.session import Sessions
from db.tables import Job, User
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.expire_jobs import MAX_WAIT, expire_jobs
from deployments.maintenance.reconcile_queues import refill_if_wiped
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from deployments.maintenance.relay_outbox import relay_outbox
from tests.support.deferred_jobs import end, take
from tests.support.fair_sharing import Arrival, TagQueue
from tests.support.jobs import make_due, new_user, read, silence, submit
from tests.support.killed_submit import submit_and_be_killed
from tests.support.maintenance import age, push
from tests.support.scribe import SPEC

COST = fair_share.cost(3, plans.DEFAULT, "normal")  # of a page
SLOTS = 8
CALLERS = 32
JOBS = 120  # of the loop, with those of its beginning
HANG_S = 120


@pytest.fixture
async def ada(sessions: Sessions) -> str:
    return await person(sessions)


@pytest.fixture
async def bob(sessions: Sessions) -> str:
    return await person(sessions)


async def person(sessions: Sessions, plan: str = "free") -> str:
    user_id = await new_user(sessions, credits=100_000)
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == user_id).values(plan=plan))
    return user_id


async def many(maintenance: MaintenanceContext, user_id: str, count: int) -> list[str]:
    """The rows and messages that as many submits, one after the other, would have left."""
    rows, tag = [], 0
    for _ in range(count):
        tag = fair_queue.next_tag(0, tag, COST)
        rows.append(
            {
                "id": new_id("job"),
                "user_id": user_id,
                "generator": SPEC.name,
                "status": "queued",
                "input": {"text": "x"},
                "seed": 7,
                "queue_tag": tag,
                "queue_cost": COST,
                "credits_quoted": 0,
                "credits_held": 0,
                "price_version": SPEC.price_version,
            }
        )
    async with maintenance.stores.sessions.begin() as session:
        await session.execute(insert(Job), rows)
    queue = maintenance.queues[SPEC.name]
    for start in range(0, count, 50):
        await asyncio.gather(
            *(
                queue.push(str(row["id"]), 1, int(str(row["queue_tag"])))
                for row in rows[start : start + 50]
            )
        )
    return [str(row["id"]) for row in rows]


@dataclass
class Starts:
    """The jobs that were started, in their order; ``until`` waits for as many."""

    jobs: list[Job] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, job: Job) -> None:
        async with self.changed:
            self.jobs.append(job)
            self.changed.notify_all()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(HANG_S), self.changed:
            await self.changed.wait_for(lambda: len(self.jobs) >= count)


async def no_answer(job: Job) -> None:
    """Nobody waits for the job."""


@asynccontextmanager
async def replica(
    sessions: Sessions,
    redis_url: str,
    slots: int = 1,
    answered: Callable[[Job], Awaitable[None]] = no_answer,
) -> AsyncIterator[Starts]:
    """Takes messages, claims and ends their jobs, ``slots`` at a time; calls ``answered``."""
    starts = Starts()

    async def process(job_id: str, attempt: int) -> None:
        async with sessions.begin() as session:
            job = await concurrency.claim_or_defer(session, job_id, attempt)
        if job is None:
            return
        await starts.add(job)
        async with sessions.begin() as session:
            await settle(session, job, Settlement("failed"))
        await answered(job)

    worker = make_worker(redis_url, SPEC.name, process, slots)
    running = asyncio.create_task(worker.run())
    try:
        yield starts
    finally:
        await worker.drain()
        await running


async def order(maintenance: MaintenanceContext, job_ids: list[str]) -> list[int | None]:
    queue = maintenance.queues[SPEC.name]
    return [await queue.position(job_id, 1) for job_id in job_ids]


# Between users


async def test_of_a_user_with_one_job_it_starts_before_the_next_of_a_thousand(
    maintenance: MaintenanceContext, sessions: Sessions, redis_url: str, ada: str, bob: str
) -> None:
    await many(maintenance, ada, 1000)
    async with replica(sessions, redis_url) as starts:
        await starts.until(20)
    own = await submit(sessions, SPEC, bob, text="x")
    await push(maintenance, own)
    high = await submit(sessions, SPEC, ada, "high", text="x")
    await push(maintenance, high)
    assert await order(maintenance, [high, own]) == [0, 1]
    last = await read(sessions, await submit(sessions, SPEC, ada, text="x"))
    assert last.queue_tag == 1001 * COST - 1, "behind the thousand"


@pytest.mark.parametrize(("plan", "share"), [("starter", 2), ("pro", 4)])
async def test_finished_work_is_shared_by_the_weights_of_plans(
    maintenance: MaintenanceContext,
    sessions: Sessions,
    redis_url: str,
    ada: str,
    plan: str,
    share: int,
) -> None:
    payer, rounds = await person(sessions, plan), 15
    for user_id, count in ((ada, rounds + 5), (payer, share * rounds + 5)):
        for _ in range(count):
            await push(maintenance, await submit(sessions, SPEC, user_id, text="x"))
    async with replica(sessions, redis_url, slots=2) as starts:
        await starts.until((1 + share) * rounds)
    done = Counter(job.user_id for job in starts.jobs[: (1 + share) * rounds])
    assert abs(done[ada] - rounds) <= 1 and abs(done[payer] - share * rounds) <= 1
    assert done[payer] / done[ada] == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("users", [1, CALLERS])
async def test_in_a_closed_loop_no_caller_waits_long_and_nobody_is_overtaken(
    maintenance: MaintenanceContext, sessions: Sessions, redis_url: str, users: int
) -> None:
    """32 callers, each of whom submits as soon as the job before has ended. Waits are counted in
    the jobs that start meanwhile, so that a busy machine does not change them."""
    people = [await person(sessions, "unlimited") for _ in range(users)]
    before: dict[str, int] = {}

    async def ask(user_id: str) -> None:
        job_id = await submit(sessions, SPEC, user_id, text="x")
        before[job_id] = len(starts.jobs)
        await push(maintenance, job_id)

    async def answered(job: Job) -> None:
        await ask(job.user_id)

    async with replica(sessions, redis_url, SLOTS, answered) as starts:
        for caller in range(CALLERS):
            await ask(people[caller % users])
        await starts.until(JOBS)
        jobs = starts.jobs[:JOBS]
    waits = [place - before[job.id] for place, job in enumerate(jobs)][CALLERS:]
    assert max(waits) <= 3 * median(waits)
    for user_id in people:
        tags = [job.queue_tag for job in jobs if job.user_id == user_id]
        for place, tag in enumerate(tags):
            assert sum(other > tag for other in tags[:place]) <= SLOTS


# Whatever happens to a process


async def test_a_job_whose_sender_was_killed_before_its_push_keeps_its_place(
    maintenance: MaintenanceContext,
    sessions: Sessions,
    database_url: str,
    ada: str,
    bob: str,
) -> None:
    first = await submit(sessions, SPEC, ada, text="x")
    await asyncio.to_thread(submit_and_be_killed, database_url, bob)
    later = [await submit(sessions, SPEC, ada, text="x") for _ in range(3)]
    for job_id in (first, *later):
        await push(maintenance, job_id)
    await make_due(sessions)
    await relay_outbox(maintenance)
    async with sessions() as session:
        killed = await session.scalar(select(Job.id).where(Job.user_id == bob))
    assert killed is not None
    assert await order(maintenance, [first, killed, *later]) == [0, 1, 2, 3, 4]


async def test_a_wiped_redis_comes_back_in_the_same_order(
    maintenance: MaintenanceContext, sessions: Sessions, redis: Redis, ada: str, bob: str
) -> None:
    made = [
        await submit(sessions, SPEC, user_id, priority, text="x", pages=pages)
        for user_id in (ada, bob)
        for priority in ("low", "normal", "high")
        for pages in (4, 1)
    ]
    assert await take(sessions, made.pop(3)), "so that the clock is not at zero"
    made.append(await submit(sessions, SPEC, bob, text="x"))
    for job_id in made:
        await push(maintenance, job_id)
    before = await order(maintenance, made)
    assert sorted(place for place in before if place is not None) == list(range(len(made)))
    await redis.flushdb()
    assert await refill_if_wiped(maintenance) == len(made)
    assert await order(maintenance, made) == before
    clock = await read(sessions, await submit(sessions, SPEC, await person(sessions), text="x"))
    assert clock.queue_tag == 6 * COST - 2, "virtual time is in Postgres"


async def test_two_submitters_at_once_get_one_place_after_the_other(
    sessions: Sessions, ada: str, bob: str
) -> None:
    made = await asyncio.gather(
        *(submit(sessions, SPEC, user_id, text="x") for user_id in (ada, bob) * 10)
    )
    for mine in (made[::2], made[1::2]):
        tags = sorted([(await read(sessions, job_id)).queue_tag for job_id in mine])
        assert tags == [n * COST - 1 for n in range(1, 11)]


async def test_a_lost_job_keeps_its_place(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    lost, *others = [await submit(sessions, SPEC, ada, text="x") for _ in range(4)]
    assert await take(sessions, lost)
    for job_id in others:
        await push(maintenance, job_id)
    await silence(sessions, lost)
    assert await recover_lost_jobs(maintenance) == 1
    assert await maintenance.queues[SPEC.name].position(lost, 2) == 0


@pytest.mark.parametrize("way", ["cancel", "expire"])
async def test_jobs_that_leave_the_queue_cost_their_owner_no_place(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str, bob: str, way: str
) -> None:
    assert await take(sessions, await submit(sessions, SPEC, bob, text="x"))
    left = [await submit(sessions, SPEC, ada, text="x") for _ in range(5)]
    for job_id in left:
        if way == "cancel":
            assert await end(sessions, job_id, "canceled")
        else:
            await age(sessions, job_id, 2 * MAX_WAIT["normal"])
    if way == "expire":
        assert await expire_jobs(maintenance) == 5
    both = [await read(sessions, await submit(sessions, SPEC, u, text="x")) for u in (ada, bob)]
    assert both[0].queue_tag == both[1].queue_tag


@pytest.mark.parametrize("seed", range(2))
async def test_the_clock_in_postgres_is_the_one_that_was_simulated(
    sessions: Sessions, seed: int
) -> None:
    """Tags of the model that ``tests/unit/test_fair_queue.py`` holds against the ideal."""
    chance = random.Random(seed)
    names = ["free", "starter", "pro"]
    people = [await person(sessions, plan) for plan in names]
    model, made = TagQueue([plans.PLANS[plan] for plan in names]), {}
    for number in range(60):
        if chance.random() < 0.6 or not model.waiting:
            job = Arrival(
                number,
                chance.randrange(3),
                3 * chance.randint(1, 9),
                chance.choice(["high", "low"]),
            )
            job_id = await submit(
                sessions, SPEC, people[job.user], job.priority, text="x", pages=job.credits // 3
            )
            made[job] = job_id
            assert (await read(sessions, job_id)).queue_tag == model.submit(job)
        elif chance.random() < 0.8:
            assert await take(sessions, made[model.start()])
        else:
            _, _, job = gone = chance.choice(model.waiting)
            model.waiting.remove(gone)
            assert await end(sessions, made[job], "canceled")
