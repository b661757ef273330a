"""No user runs more jobs than they may, and nobody waits where there is room. Real stores."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from billing import concurrency, job_policy
from db.outbox import rows as outbox
from db.redis.queue import message_id
from db.session import Sessions
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.expire_jobs import expire_jobs
from deployments.maintenance.reconcile_queues import reconcile_queues, refill_if_wiped
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from deployments.maintenance.relay_outbox import relay_outbox
from deployments.maintenance.resume_deferred_jobs import resume_deferred_jobs
from deployments.worker.context import RunContext
from deployments.worker.requeue_on_drain import requeue_drained_job
from tests.support.deferred_jobs import OTHER, by_status, deferred, end, full, limit, take
from tests.support.jobs import make_due, money, new_user, read, silence, submit, undelivered
from tests.support.maintenance import age, change
from tests.support.scribe import SPEC
from tests.support.waiting import until

AT_ONCE = timedelta(0)


@pytest.fixture
async def ada(sessions: Sessions) -> str:
    return await new_user(sessions, credits=10_000)


@pytest.fixture
async def bob(sessions: Sessions) -> str:
    return await new_user(sessions, credits=10_000)


async def asked_for(sessions: Sessions) -> list[str]:
    """The jobs that went on, in the order in which the queue is to be told."""
    return [key.split("-")[0] for key in await undelivered(sessions, outbox.ENQUEUE) if ":" in key]


# Claims


async def test_of_twenty_claims_at_once_as_many_run_as_may(sessions: Sessions, ada: str) -> None:
    await limit(sessions, ada, 4)
    made = [await submit(sessions, SPEC, ada, text="x") for _ in range(20)]
    taken = await asyncio.gather(*(take(sessions, job_id) for job_id in made))
    assert sum(taken) == 4
    assert await by_status(sessions, ada) == {"running": 4, "parked": 16}


async def test_the_limit_is_one_for_all_generators_and_each_user_has_their_own(
    sessions: Sessions, ada: str, bob: str
) -> None:
    await limit(sessions, ada, 2)
    await limit(sessions, bob, 1)
    for user_id, most in ((ada, 2), (bob, 1)):
        made = [await submit(sessions, spec, user_id, text="x") for spec in (SPEC, OTHER) * 2]
        assert sum([await take(sessions, job_id) for job_id in made]) == most
    assert len(await deferred(sessions, ada)) == 2
    assert len(await deferred(sessions, bob)) == 3


async def test_the_plan_bounds_whoever_has_no_limit_of_their_own(
    sessions: Sessions, ada: str
) -> None:
    made = [await submit(sessions, SPEC, ada, text="x") for _ in range(22)]
    assert [await take(sessions, job_id) for job_id in made] == [True] * 20 + [False] * 2


async def test_a_job_starts_when_it_is_claimed_not_when_its_claim_began_to_wait(
    sessions: Sessions, ada: str
) -> None:
    job_id = await submit(sessions, SPEC, ada, text="x")
    async with sessions.begin() as session:
        began = await session.scalar(select(func.now()))
        job = await concurrency.claim_or_defer(session, job_id, 1)
    assert job is not None and job.started_at is not None and began is not None
    assert job.started_at > began


async def test_a_message_of_no_use_parks_nothing(sessions: Sessions, ada: str) -> None:
    running, waiting = await full(sessions, ada, 1, 1)
    for job_id, attempt in ((running, 1), (running, 2), (waiting, 2), ("job_none", 1)):
        assert not await take(sessions, job_id, attempt)
    before = (await read(sessions, waiting)).deferred_at
    assert not await take(sessions, waiting), "a second message of a parked one"
    assert (await read(sessions, waiting)).deferred_at == before
    assert (await read(sessions, running)).deferred_at is None


async def test_a_parked_job_whose_message_comes_again_runs_if_there_is_room(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    _, waiting = await full(sessions, ada, 1, 1)
    await limit(sessions, ada, 2)
    assert await take(sessions, waiting)
    await limit(sessions, ada, 1)
    await silence(sessions, waiting)
    await recover_lost_jobs(maintenance)
    assert await deferred(sessions, ada) == [], "it is not, once it was lost: its message is out"


# What makes room


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled"])
async def test_an_end_lets_one_go_on(sessions: Sessions, ada: str, bob: str, status: str) -> None:
    mine = await full(sessions, ada, 2, 3)
    others = await full(sessions, bob, 1, 1)
    ends = await asyncio.gather(*(end(sessions, mine[0], status) for _ in range(3)))
    assert sum(ends) == 1
    assert await deferred(sessions, ada) == mine[3:], "the first in turn goes on, and no other"
    assert await deferred(sessions, bob) == others[1:]
    assert await asked_for(sessions) == [mine[2]]
    assert await take(sessions, mine[2])


async def test_a_lost_attempt_lets_one_go_on_beside_itself(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    lost, _, *waiting = await full(sessions, ada, 2, 2)
    await silence(sessions, lost)
    assert await recover_lost_jobs(maintenance) == 1
    # The lost one is the first in turn, so the room is its own.
    assert await deferred(sessions, ada) == waiting
    assert await take(sessions, lost, 2)


async def test_a_lost_job_that_is_given_up_lets_one_go_on(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    lost, waiting = await full(sessions, ada, 1, 1)
    await change(sessions, lost, attempt=3, losses=job_policy.MAX_LOSSES - 1)
    await silence(sessions, lost)
    assert await recover_lost_jobs(maintenance) == 1
    assert (await read(sessions, lost)).status == "failed"
    assert await asked_for(sessions) == [waiting]


async def test_a_job_handed_back_leaves_its_room_to_the_first_in_turn_of_each_queue(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str, tmp_path: Path
) -> None:
    handed, waiting = await full(sessions, ada, 1, 1)
    elsewhere = await submit(sessions, OTHER, ada, text="x")
    assert not await take(sessions, elsewhere)
    job = await read(sessions, handed)
    assert await requeue_drained_job(maintenance.stores, job, RunContext(job.seed, tmp_path))
    assert await asked_for(sessions) == [elsewhere]
    assert await deferred(sessions, ada) == [waiting], "in its own queue the room is its own"
    assert await take(sessions, handed, 2)
    assert not await take(sessions, elsewhere)


async def test_a_job_that_is_being_parked_hears_of_room_that_a_hand_back_makes(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str, tmp_path: Path
) -> None:
    """It has seen that there is none, and has not said yet that it waits for some."""
    (handed,) = await full(sessions, ada, 1, 0)
    waiting = await submit(sessions, OTHER, ada, text="x")
    job = await read(sessions, handed)
    async with sessions.begin() as session:
        assert await concurrency.claim_or_defer(session, waiting, 1) is None
        giving = asyncio.create_task(
            requeue_drained_job(maintenance.stores, job, RunContext(7, tmp_path))
        )
        await asyncio.wait({giving}, timeout=0.5)
        assert not giving.done()
    assert await giving
    assert await deferred(sessions, ada) == []


async def test_what_nobody_pushed_the_keeper_delivers(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    """The process that ended the job died right after its commit."""
    first, second = await full(sessions, ada, 1, 1)
    await make_due(sessions)
    await relay_outbox(maintenance)
    await maintenance.queues[SPEC.name].remove(second, 1)  # as the replica that parked it
    await end(sessions, first)
    row = (await undelivered(sessions, outbox.ENQUEUE))[-1]
    assert row.startswith(f"{second}-1:")
    await until(lambda: _delivered(maintenance, second))
    assert await take(sessions, second)


async def _delivered(maintenance: MaintenanceContext, job_id: str) -> bool:
    await relay_outbox(maintenance)
    return bool(await maintenance.queues[SPEC.name].contains([message_id(job_id, 1)]))


async def test_a_job_that_waited_for_a_slot_is_due_at_once(
    sessions: Sessions, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SENDER_HEAD_START", timedelta(hours=1))
    first, second, third = await full(sessions, ada, 1, 2)
    now = datetime.now(UTC)
    await change(sessions, second, deferred_at=now - timedelta(seconds=5))
    await change(sessions, third, deferred_at=now + timedelta(hours=1))
    await end(sessions, first)
    async with sessions() as session:
        due = await outbox.due(session)
    assert [row.payload["job_id"] for row in due] == [second]
    await limit(sessions, ada, 3)
    await end(sessions, second, "canceled")
    assert await deferred(sessions, ada) == []
    async with sessions() as session:
        assert third not in [row.payload["job_id"] for row in await outbox.due(session)]


async def test_a_higher_limit_lets_more_go_on(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    made = await full(sessions, ada, 1, 5)
    assert await resume_deferred_jobs(maintenance) == 0
    await limit(sessions, ada, 4)
    assert await resume_deferred_jobs(maintenance) == 3
    assert await deferred(sessions, ada) == made[4:]
    assert await resume_deferred_jobs(maintenance) == 0, "those that are on their way take the room"
    assert sum([await take(sessions, job_id) for job_id in made[1:]]) == 3
    await limit(sessions, ada, None)
    assert await resume_deferred_jobs(maintenance) == 2


async def test_a_lower_limit_stops_nothing_and_holds_from_then_on(
    sessions: Sessions, ada: str
) -> None:
    made = await full(sessions, ada, 3, 1)
    await limit(sessions, ada, 1)
    for job_id in made[:2]:
        await end(sessions, job_id)
        assert await deferred(sessions, ada) == made[3:]
    await end(sessions, made[2])
    assert await deferred(sessions, ada) == []


# Order


async def test_in_each_flow_the_oldest_goes_on_first(sessions: Sessions, ada: str) -> None:
    (running,) = await full(sessions, ada, 1, 0)
    made: dict[str, list[str]] = {"high": [], "normal": [], "low": []}
    for priority in ("low", "normal", "high") * 2:
        job_id = await submit(sessions, SPEC, ada, priority, text="x")
        assert not await take(sessions, job_id)
        made[priority].append(job_id)
    await end(sessions, running)
    assert set(await asked_for(sessions)) == {jobs[0] for jobs in made.values()}
    assert await take(sessions, made["low"][0]), "the queue decides which of them comes first"
    await end(sessions, made["low"][0])
    assert made["low"][1] in await asked_for(sessions)


async def test_a_job_whose_message_comes_before_those_of_older_deferred_ones_waits_behind_them(
    sessions: Sessions, ada: str
) -> None:
    first, second, third = await full(sessions, ada, 1, 2)
    late = await submit(sessions, SPEC, ada, text="late")
    await end(sessions, first)
    assert not await take(sessions, late), "the slot is the second's, whose message is on its way"
    order = []
    for job_id in (second, third, late):
        assert await take(sessions, job_id)
        order.append((await asked_for(sessions))[-1])
        await end(sessions, job_id)
    assert order == [second, third, late]


async def test_time_spent_at_the_limit_earns_no_credit(
    sessions: Sessions, ada: str, bob: str
) -> None:
    first, second, third = await full(sessions, ada, 1, 2)
    for _ in range(20):
        others = await submit(sessions, SPEC, bob, text="x")
        assert await take(sessions, others)
        await end(sessions, others)
    now = (await read(sessions, others)).queue_tag
    await limit(sessions, ada, 3)
    await end(sessions, first)
    resumed = [await read(sessions, job_id) for job_id in (second, third)]
    again = await read(sessions, await submit(sessions, SPEC, ada, text="x"))
    tags = [job.queue_tag - now for job in (*resumed, again)]
    cost = again.queue_cost
    assert tags == [cost - 1, 2 * cost - 1, 3 * cost - 1], "as if they had been submitted now"


async def test_a_queue_that_stands_still_keeps_no_room_from_another(
    sessions: Sessions, ada: str
) -> None:
    """Its jobs wait for replicas that are busy with other people's."""
    (first,) = await full(sessions, ada, 1, 0)
    still = [await submit(sessions, OTHER, ada, "high", text="x") for _ in range(3)]
    moving = [await submit(sessions, SPEC, ada, text="x") for _ in range(3)]
    for job_id in still + moving:
        assert not await take(sessions, job_id)
    await end(sessions, first)
    assert await asked_for(sessions) == [still[0], moving[0]], "the first of each"
    assert await take(sessions, moving[0])
    assert not await take(sessions, still[0]), "and who comes second is parked again"


# Everything else goes on as for any waiting job


async def test_a_parked_job_has_no_message_and_is_given_none(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    await full(sessions, ada, 1, 2)
    assert await refill_if_wiped(maintenance) == 0
    assert await reconcile_queues(maintenance, AT_ONCE) == 0


async def test_a_parked_job_is_canceled_once_and_costs_nothing(
    sessions: Sessions, ada: str
) -> None:
    first, second, third = await full(sessions, ada, 1, 2)
    before = await money(sessions, ada)
    assert sum(await asyncio.gather(*(end(sessions, second, "canceled") for _ in range(3)))) == 1
    assert await money(sessions, ada) == (before[0] + 3, before[1] - 3)
    await end(sessions, first)
    assert await asked_for(sessions) == [third]


async def test_parked_jobs_expire(
    maintenance: MaintenanceContext, sessions: Sessions, ada: str
) -> None:
    _, second, third = await full(sessions, ada, 1, 2)
    await age(sessions, second, timedelta(hours=25))
    await age(sessions, third, timedelta(hours=1))
    assert await expire_jobs(maintenance) == 1
    assert (await read(sessions, second)).status == "failed"
    assert await deferred(sessions, ada) == [third]
