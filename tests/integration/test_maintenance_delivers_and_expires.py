"""What was not told is told by the keeper, and what nobody came for ends. Real stores."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from billing.settlement import Settlement, settle
from db.jobs import transitions
from db.outbox import rows as outbox
from db.redis.queue import QueueCounts
from db.session import Sessions
from db.tables import Outbox, Transaction
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.expire_jobs import MAX_WAIT, expire_jobs
from deployments.maintenance.relay_outbox import MAX_DELAY, _relay_some, relay_outbox
from tests.support.jobs import claim, make_due, money, read, submit, undelivered
from tests.support.maintenance import age, push, statuses, without_redis
from tests.support.scribe import SPEC
from tests.support.stores import events

MINUTE = timedelta(minutes=1)


async def submit_many(sessions: Sessions, user_id: str, count: int) -> list[str]:
    return [await submit(sessions, SPEC, user_id, text=f"job {n}") for n in range(count)]


async def counts(maintenance: MaintenanceContext) -> QueueCounts:
    return await maintenance.queues[SPEC.name].counts()


async def write_poison(sessions: Sessions, topic: str, key: str) -> None:
    payload = {"job_id": key, "generator": "gone", "attempt": 1, "queue_tag": 1}
    async with sessions.begin() as session:
        await outbox.write(session, topic, key, payload)


async def outbox_row(sessions: Sessions, key: str) -> Outbox:
    async with sessions() as session:
        return (await session.scalars(select(Outbox).where(Outbox.natural_key == key))).one()


# The outbox


async def test_the_relay_pushes_jobs_whose_sender_died_before_it_could(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "SENDER_HEAD_START", timedelta(hours=1))
    job_ids = await submit_many(sessions, user_id, 3)
    assert await relay_outbox(maintenance) == 0, "their sender is just at it"
    await make_due(sessions)
    assert await relay_outbox(maintenance) == 3
    names = {f"{job_id}-1" for job_id in job_ids}
    assert await maintenance.queues[SPEC.name].contains(names) == names
    assert await undelivered(sessions, outbox.ENQUEUE) == []
    assert await relay_outbox(maintenance) == 0


async def test_the_relay_keeps_the_tag_the_row_was_written_with(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    low = await submit(sessions, SPEC, user_id, "low", text="low")
    high = await submit(sessions, SPEC, user_id, "high", text="high")
    await make_due(sessions)
    await relay_outbox(maintenance)
    queue = maintenance.queues[SPEC.name]
    assert [await queue.position(job_id, 1) for job_id in (high, low)] == [0, 1]


async def test_watchers_hear_of_a_job_whose_runner_died_after_settling(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x")
    job = await claim(sessions, job_id, 1)
    async with sessions.begin() as session:
        assert await settle(session, job, Settlement("succeeded", 1.0)) is not None
    await make_due(sessions)
    assert await relay_outbox(maintenance) == 2
    assert await events(maintenance.stores, job_id) == [{"type": "done", "status": "succeeded"}]
    assert await undelivered(sessions, outbox.NOTIFY) == []


async def test_rows_that_cannot_be_delivered_are_postponed_and_hold_up_no_other(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    await write_poison(sessions, outbox.ENQUEUE, "of a generator that is gone")
    await write_poison(sessions, "smoke signal", "of a topic nobody knows")
    good = await submit(sessions, SPEC, user_id, text="good")
    await make_due(sessions)
    assert await _relay_some(maintenance) == 1, "once: a second later they are due again"
    assert await maintenance.queues[SPEC.name].contains([f"{good}-1"]) == {f"{good}-1"}
    for key in ("of a generator that is gone", "of a topic nobody knows"):
        row = await outbox_row(sessions, key)
        assert (row.done_at, row.attempts) == (None, 1)
    assert await relay_outbox(maintenance) == 0


@pytest.mark.parametrize(
    ("attempts", "delay"),
    [(0, timedelta(seconds=1)), (5, timedelta(seconds=32)), (10, MAX_DELAY)]
    + [(tried, MAX_DELAY) for tried in (47, 5000)],
)
async def test_a_row_is_tried_later_and_later_but_never_later_than_the_longest_delay(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    attempts: int,
    delay: timedelta,
) -> None:
    await write_poison(sessions, outbox.ENQUEUE, "poison")
    await submit(sessions, SPEC, user_id, text="good")
    await make_due(sessions)
    async with sessions.begin() as session:
        await session.execute(
            update(Outbox).where(Outbox.natural_key == "poison").values(attempts=attempts)
        )
        now = await session.scalar(select(func.now()))
    assert now is not None
    assert await _relay_some(maintenance) == 1
    row = await outbox_row(sessions, "poison")
    assert row.attempts == attempts + 1
    assert delay <= row.available_at - now < delay + timedelta(seconds=10)


async def test_the_relay_stops_politely_while_redis_is_down(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await submit_many(sessions, user_id, 20)
    await make_due(sessions)
    async with without_redis(maintenance) as cut_off:
        queue = cut_off.queues[SPEC.name]
        push, asked = queue.push, []

        async def counted(*given: Any) -> None:
            asked.append(given)
            await push(*given)

        monkeypatch.setattr(queue, "push", counted)
        assert await relay_outbox(cut_off) == 0
        assert len(asked) == 1, "not once for each row"
    async with sessions() as session:
        assert set(await session.scalars(select(Outbox.attempts))) == {0}, "no row's own fault"
    assert await relay_outbox(maintenance) == 20, "at once, and no lock is left behind"


async def test_two_keepers_deliver_every_row_once(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    await submit_many(sessions, user_id, 20)
    await make_due(sessions)
    assert sum(await asyncio.gather(*(relay_outbox(maintenance) for _ in range(2)))) == 20
    assert await counts(maintenance) == QueueCounts(waiting=20, active=0)
    assert await undelivered(sessions, outbox.ENQUEUE) == []


# Expiry


async def test_a_job_expires_once_its_priority_class_has_waited_long_enough(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    late: list[str] = []
    in_time: list[str] = []
    for priority, limit in MAX_WAIT.items():
        for those, waited in ((late, limit + MINUTE), (in_time, limit - MINUTE)):
            those.append(await submit(sessions, SPEC, user_id, priority, text=priority))
            await age(sessions, those[-1], waited)
            await push(maintenance, those[-1])
    assert MAX_WAIT["high"] < MAX_WAIT["normal"] < MAX_WAIT["low"]
    assert await expire_jobs(maintenance) == 3
    assert await statuses(sessions, late + in_time) == ["failed"] * 3 + ["queued"] * 3
    for job_id in late:
        row = await read(sessions, job_id)
        assert row.error is not None
        assert (row.error["code"], row.error["retryable"]) == ("expired", True)
        assert await events(maintenance.stores, job_id) == [{"type": "done", "status": "failed"}]
    assert await money(sessions, user_id) == (91, 9), "only what still waits is held"
    known = await maintenance.queues[SPEC.name].contains(f"{job_id}-1" for job_id in late + in_time)
    assert known == {f"{job_id}-1" for job_id in in_time}
    assert await undelivered(sessions, outbox.NOTIFY) == []
    assert await expire_jobs(maintenance) == 0


async def test_a_job_that_runs_does_not_expire_however_old(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x")
    await age(sessions, job_id, timedelta(days=30))
    await claim(sessions, job_id, 1)
    assert await expire_jobs(maintenance) == 0
    assert await statuses(sessions, [job_id]) == ["running"]


async def test_a_job_that_is_claimed_while_it_expires_either_runs_or_ends(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_ids = await submit_many(sessions, user_id, 10)
    for job_id in job_ids:
        await age(sessions, job_id, timedelta(days=30))

    async def claim_all() -> int:
        claimed = 0
        for job_id in reversed(job_ids):
            async with sessions.begin() as session:
                claimed += await transitions.claim(session, job_id, 1) is not None
        return claimed

    claimed, expired = await asyncio.gather(claim_all(), expire_jobs(maintenance))
    assert claimed + expired == 10
    assert await money(sessions, user_id) == (100 - 3 * claimed, 3 * claimed)


async def test_a_job_expires_while_redis_is_down(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x")
    await age(sessions, job_id, timedelta(days=30))
    async with without_redis(maintenance) as cut_off:
        assert await expire_jobs(cut_off) == 1
    assert await statuses(sessions, [job_id]) == ["failed"]
    assert await undelivered(sessions, outbox.NOTIFY) == [f"{job_id}:failed"], "told later"


async def test_a_job_of_a_generator_no_longer_served_expires_too(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x")
    await age(sessions, job_id, timedelta(days=30))
    assert await expire_jobs(MaintenanceContext(maintenance.stores, {})) == 1
    assert await money(sessions, user_id) == (100, 0)


async def test_two_keepers_expire_a_job_once(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    for job_id in await submit_many(sessions, user_id, 5):
        await age(sessions, job_id, timedelta(days=30))
    assert sum(await asyncio.gather(*(expire_jobs(maintenance) for _ in range(2)))) == 5
    assert await money(sessions, user_id) == (100, 0)
    async with sessions() as session:
        released = select(func.count()).where(Transaction.kind == "release")
        assert await session.scalar(released) == 5
