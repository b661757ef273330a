"""When a lost job is not tried again: three attempts, or two dead processes. Real stores."""

import dataclasses

from sqlalchemy import select

from db.outbox import rows as outbox
from db.session import Sessions
from db.tables import DeadLetter
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from tests.support.jobs import claim, money, read, silence, submit, undelivered
from tests.support.maintenance import cancel_half_way, statuses
from tests.support.scribe import SPEC
from tests.support.stores import events


async def waiting(maintenance: MaintenanceContext, *names: str) -> set[str]:
    return await maintenance.queues[SPEC.name].contains(names)


async def test_after_the_third_attempt_the_job_fails_and_costs_nothing(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="unlucky")
    for attempt in (1, 2, 3):
        assert await statuses(sessions, [job_id]) == ["queued"]
        await claim(sessions, job_id, attempt)
        await silence(sessions, job_id)
        assert await recover_lost_jobs(maintenance) == 1
    row = await read(sessions, job_id)
    assert row.error is not None
    assert (row.status, row.error["code"], row.error["retryable"]) == (
        "failed",
        "worker_lost",
        True,
    )
    assert await money(sessions, user_id) == (100, 0)
    assert await waiting(maintenance, *(f"{job_id}-{n}" for n in (1, 2, 3, 4))) == {
        f"{job_id}-2",
        f"{job_id}-3",
    }, "there is no fourth"
    assert (await events(maintenance.stores, job_id))[-1] == {"type": "done", "status": "failed"}
    assert await undelivered(sessions, outbox.NOTIFY) == []


def who_died(maintenance: MaintenanceContext, *dead: str) -> MaintenanceContext:
    """The same house, in which it is known which replicas' processes ended."""

    async def crashed(replica: str) -> bool:
        return replica in dead

    return dataclasses.replace(maintenance, crashed=crashed)


async def test_a_job_that_ends_its_process_twice_is_quarantined(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="poison")
    keeper = who_died(maintenance, "first", "second")
    for attempt, replica in enumerate(("first", "second"), 1):
        await claim(sessions, job_id, attempt, replica)
        await silence(sessions, job_id)
        assert await recover_lost_jobs(keeper) == 1
    row = await read(sessions, job_id)
    assert row.error is not None
    assert (row.status, row.attempt, row.crashes, row.error["code"]) == (
        "failed", 2, 2, "quarantined",
    )  # fmt: skip
    assert await money(sessions, user_id) == (100, 0)
    async with sessions() as session:
        (letter,) = await session.scalars(select(DeadLetter))
    assert (letter.job_id, letter.reason, letter.replica) == (job_id, "quarantined", "second")


async def test_paused_replicas_and_lost_machines_are_no_fault_of_the_job(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="unlucky")
    keeper = who_died(maintenance, "second")
    for attempt, replica in enumerate(("first", "second", "third"), 1):
        await claim(sessions, job_id, attempt, replica)
        await silence(sessions, job_id)
        assert await recover_lost_jobs(keeper) == 1
    row = await read(sessions, job_id)
    assert row.error is not None
    assert (row.attempt, row.crashes, row.error["code"]) == (3, 1, "worker_lost")
    async with sessions() as session:
        assert [letter.reason for letter in await session.scalars(select(DeadLetter))] == [
            "worker_lost"
        ]


async def test_a_canceled_job_leaves_no_dead_letter(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x", pages=2)
    await claim(sessions, job_id, 1, "first")
    await cancel_half_way(sessions, job_id)
    await silence(sessions, job_id)
    assert await recover_lost_jobs(who_died(maintenance, "first")) == 1
    assert (await read(sessions, job_id)).status == "canceled"
    async with sessions() as session:
        assert (await session.scalars(select(DeadLetter))).all() == []
