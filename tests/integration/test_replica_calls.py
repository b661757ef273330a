"""The jobs of a replica share their heartbeats, events and flags, and not their failures."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, OperationalError

import deployments.worker.lease
from db.jobs import transitions
from db.jobs.transitions import Heartbeat
from db.redis.client import events_key, open_redis, read_events, set_cancel_flag
from db.tables import Job
from deployments.stores import Stores
from deployments.worker.context import RunContext, StopReason
from deployments.worker.lease import hold_lease
from deployments.worker.replica_calls import ReplicaCalls
from tests.support.jobs import claim, lose, new_user, read, silence, submit
from tests.support.maintenance import nobody_there
from tests.support.round_trips import counted_round_trips
from tests.support.scribe import SPEC
from tests.support.waiting import until


async def running(stores: Stores, count: int) -> list[Job]:
    user_id = await new_user(stores.sessions)
    ids = [await submit(stores.sessions, SPEC, user_id, text="x") for _ in range(count)]
    return [await claim(stores.sessions, job_id, 1) for job_id in ids]


def beat(job: Job, progress: float = 0.5, stage: str = "writing") -> Heartbeat:
    return Heartbeat(job.id, job.attempt, progress, stage)


async def lives(stores: Stores, job: Job) -> bool:
    """Whether a heartbeat came after ``silence``."""
    row = await read(stores.sessions, job.id)
    assert row.heartbeat_at is not None and job.heartbeat_at is not None
    return row.heartbeat_at > job.heartbeat_at


async def test_each_job_hears_what_became_of_it(stores: Stores) -> None:
    fine, lost, canceled = await running(stores, 3)
    await lose(stores.sessions, lost.id, 1)
    await claim(stores.sessions, lost.id, 2)
    async with stores.sessions.begin() as session:
        await transitions.request_cancel(session, canceled.id)
    calls = ReplicaCalls(stores)
    answers = await asyncio.gather(*(calls.heartbeat(beat(job)) for job in (fine, lost, canceled)))
    assert answers == [False, None, True]
    rows = [await read(stores.sessions, job.id) for job in (fine, lost, canceled)]
    said = [(row.attempt, row.progress, row.stage) for row in rows]
    assert said == [(1, 0.5, "writing"), (2, 0.0, "starting"), (1, 0.5, "writing")]


async def test_the_heartbeats_of_many_jobs_are_one_round_trip(stores: Stores) -> None:
    jobs = await running(stores, 8)
    calls = ReplicaCalls(stores)
    for _ in range(7):  # the statement is prepared by then, which is a round trip more, once
        await calls.heartbeat(beat(jobs[0]))
    with counted_round_trips(stores.engine) as count:
        assert await asyncio.gather(*(calls.heartbeat(beat(job)) for job in jobs)) == [False] * 8
        assert count() == 1


async def test_a_row_that_somebody_holds_delays_only_its_own_job(stores: Stores) -> None:
    held, free = await running(stores, 2)
    calls = ReplicaCalls(stores)
    async with stores.sessions.begin() as holder:
        await holder.execute(select(Job).where(Job.id == held.id).with_for_update())
        waiting = asyncio.create_task(calls.heartbeat(beat(held)))
        assert await calls.heartbeat(beat(free)) is False
        assert not waiting.done()
    assert await waiting is False


@pytest.mark.parametrize(("progress", "stage"), [(2.0, "writing"), (0.5, "wri\0ting")])
async def test_a_heartbeat_that_postgres_refuses_fails_alone(
    stores: Stores, progress: float, stage: str
) -> None:
    bad, good = await running(stores, 2)
    calls = ReplicaCalls(stores)
    answers = await asyncio.gather(
        calls.heartbeat(beat(bad, progress, stage)),
        calls.heartbeat(beat(good)),
        return_exceptions=True,
    )
    assert isinstance(answers[0], DBAPIError)
    assert answers[1] is False


async def test_a_statement_that_fails_is_tried_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deployments.worker.lease, "HEARTBEAT_INTERVAL_S", 0.2)
    real, failed = transitions.heartbeat_all, []

    async def down_at_first(*given: Any) -> list[bool | None]:
        if not failed:
            failed.append(True)
            raise OperationalError("", {}, Exception("the connection is lost"))
        return await real(*given)

    monkeypatch.setattr(transitions, "heartbeat_all", down_at_first)
    job, other = await running(stores, 2)
    calls = ReplicaCalls(stores)
    contexts = [RunContext(1, tmp_path) for _ in range(2)]
    async with (
        hold_lease(stores, job, contexts[0], calls),
        hold_lease(stores, other, contexts[1], calls),
    ):
        await until(lambda: lives(stores, job))
        await until(lambda: lives(stores, other))
    assert failed
    assert [context.stop_reason for context in contexts] == [None, None]


async def test_a_redis_that_is_down_delays_no_heartbeat(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deployments.worker.lease, "HEARTBEAT_INTERVAL_S", 0.2)
    jobs = await running(stores, 2)
    with nobody_there() as address:
        # So patient that what asks Redis hangs for longer than the test.
        redis = open_redis(f"redis://{address}/0", patient=True)
        down = dataclasses.replace(stores, redis=redis)
        calls = ReplicaCalls(down)
        async with AsyncExitStack() as leases:
            for job in jobs:
                context = RunContext(1, tmp_path)
                context.progress(0.5, "writing")
                await leases.enter_async_context(hold_lease(down, job, context, calls))
            for _ in range(3):
                for job in jobs:
                    await silence(stores.sessions, job.id)
                await asyncio.gather(*(until(lambda job=job: lives(stores, job)) for job in jobs))
        await redis.aclose()


async def test_jobs_that_run_together_are_told_of_flags_together(
    stores: Stores, tmp_path: Path
) -> None:
    jobs = await running(stores, 3)
    calls = ReplicaCalls(stores)
    contexts = [RunContext(1, tmp_path) for _ in jobs]
    with patch.object(stores.redis, "mget", wraps=stores.redis.mget) as asked:
        async with AsyncExitStack() as leases:
            for job, context in zip(jobs, contexts, strict=True):
                await leases.enter_async_context(hold_lease(stores, job, context, calls))
                await asyncio.sleep(0.1)  # they began at different times
            await set_cancel_flag(stores.redis, jobs[1].id)
            await until(lambda: contexts[1].stop_reason)
        together = max(len(call.args[0]) for call in asked.call_args_list)
    assert together == 2 * len(jobs), "each has two flags"
    assert [context.stop_reason for context in contexts] == [None, StopReason.CANCELED, None]


async def test_an_event_that_redis_refuses_fails_alone(stores: Stores) -> None:
    await stores.redis.set(events_key("job_a"), "no stream")
    calls = ReplicaCalls(stores)
    refused, published = await asyncio.gather(
        calls.publish("job_a", {"type": "progress"}),
        calls.publish("job_b", {"type": "progress"}),
        return_exceptions=True,
    )
    assert isinstance(refused, Exception) and "WRONGTYPE" in str(refused)
    assert published is None
    assert [event for _, event in await read_events(stores.redis, "job_b", "0")] == [
        {"type": "progress"}
    ]


async def test_who_begins_at_different_times_looks_at_the_same_moments(stores: Stores) -> None:
    calls = ReplicaCalls(stores)
    now = asyncio.get_running_loop().time
    woken: list[float] = []

    async def job(begins_after: float) -> None:
        await asyncio.sleep(begins_after)
        for _ in range(2):
            await calls.wait(0.5)
            woken.append(calls.next_moment(0.5))
            assert now() < woken[-1]

    await asyncio.gather(job(0.0), job(0.13), job(0.26))
    assert len(woken) == 6 and len({round(moment, 6) for moment in woken}) == 2
