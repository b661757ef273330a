"""Shared by the tests of maintenance: its context, workers beside it, and rows grown old."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from db.jobs import queries, transitions
from db.redis.client import open_redis
from db.redis.queue import JobQueue
from db.redis.queue_worker import make_worker
from db.session import Sessions
from db.tables import File, Job
from deployments.maintenance.context import MaintenanceContext
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from tests.support.scribe import SPEC


@asynccontextmanager
async def kept(stores: Stores, redis_url: str) -> AsyncIterator[MaintenanceContext]:
    """A house whose one generator is the scribe."""
    queue = JobQueue.open(redis_url, SPEC.name)
    try:
        yield MaintenanceContext(stores, {SPEC.name: queue})
    finally:
        await queue.close()


@contextmanager
def nobody_there() -> Iterator[str]:
    """The address of a server that refuses every connection."""
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@asynccontextmanager
async def without_redis(maintenance: MaintenanceContext) -> AsyncIterator[MaintenanceContext]:
    """The same house while Redis is down."""
    with nobody_there() as address:
        url = f"redis://{address}/0"
        redis, queue = open_redis(url), JobQueue.open(url, SPEC.name)
        try:
            yield MaintenanceContext(
                dataclasses.replace(maintenance.stores, redis=redis), {SPEC.name: queue}
            )
        finally:
            await queue.close()
            await redis.aclose()


@asynccontextmanager
async def replicas(
    maintenance: MaintenanceContext, loaded: LoadedGenerator, redis_url: str, count: int = 2
) -> AsyncIterator[None]:
    """Workers that run what the queue holds, until the block ends."""

    async def process(job_id: str, attempt: int) -> None:
        await run_job(maintenance.stores, loaded, job_id, attempt)

    workers = [make_worker(redis_url, loaded.spec.name, process) for _ in range(count)]
    loops = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        await asyncio.gather(*(worker.drain() for worker in workers))
        await asyncio.gather(*loops)


async def push(maintenance: MaintenanceContext, job_id: str, attempt: int = 1) -> None:
    async with maintenance.stores.sessions() as session:
        job = await queries.get(session, job_id)
    assert job is not None
    await maintenance.queues[SPEC.name].push(job_id, attempt, job.queue_tag)


async def change(sessions: Sessions, job_id: str, **values: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(update(Job).where(Job.id == job_id).values(**values))


async def age(sessions: Sessions, job_id: str, by: timedelta) -> None:
    """As if the job had been submitted that long ago."""
    await change(sessions, job_id, created_at=datetime.now(UTC) - by)


async def statuses(sessions: Sessions, job_ids: list[str]) -> list[str]:
    async with sessions() as session:
        found = {row.id: row.status for row in await session.scalars(select(Job))}
    return [found[job_id] for job_id in job_ids]


async def cancel_half_way(sessions: Sessions, job_id: str) -> None:
    """A running first attempt that got half way when its owner asked for a cancel."""
    async with sessions.begin() as session:
        assert await transitions.heartbeat(session, job_id, 1, 0.5, "writing") is False
        await transitions.request_cancel(session, job_id)


async def recorded(sessions: Sessions, job_id: str) -> list[str]:
    """The keys of the files that the job is known to have made."""
    async with sessions() as session:
        return sorted(await session.scalars(select(File.object_key).where(File.job_id == job_id)))
