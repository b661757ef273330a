"""Read: one job, a page of them, or wait until one is final."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from db.errors import StoreUnavailable
from db.jobs import queries
from db.redis.client import STREAM_START, read_events
from db.tables import FINAL_STATUSES, Job
from serve_app.http.errors import NotFound
from serve_app.resources import Clients

MAX_WAIT_S = 60
# The row is looked at this often even if no event comes: Redis may have lost the stream.
POLL_INTERVAL_S = 1.5


async def get_job(clients: Clients, user_id: str, job_id: str) -> Job:
    """Raises NotFound, also for another user's job."""
    async with clients.sessions() as session:
        job = await queries.get_owned(session, job_id, user_id)
    if job is None:
        raise NotFound
    return job


async def list_jobs(
    clients: Clients, user_id: str, which: queries.JobFilter, after: str | None, limit: int
) -> Sequence[Job]:
    """Up to ``limit`` jobs, newest first; they may be a moment old."""
    return await clients.read_sessions(
        lambda session: queries.page(session, user_id, which, after, limit),
    )


async def wait_for_job(
    clients: Clients,
    user_id: str,
    job_id: str,
    wait_s: float,
    gone: Callable[[], Awaitable[bool]],
) -> Job:
    """The job once it is final, or as it is after ``wait_s`` or once the client is ``gone``.

    No database session is held while waiting.
    """
    until = time.monotonic() + min(wait_s, MAX_WAIT_S)
    job = await get_job(clients, user_id, job_id)
    position = STREAM_START
    while job.status not in FINAL_STATUSES:
        left = until - time.monotonic()
        if left <= 0 or await gone():
            break
        position = await _wait_for_event(clients, job_id, position, min(left, POLL_INTERVAL_S))
        job = await get_job(clients, user_id, job_id)
    return job


async def _wait_for_event(clients: Clients, job_id: str, position: str, seconds: float) -> str:
    """Waits for news that the job moved, or ``seconds``; returns how far the stream was read.

    Progress and previews are passed over: they are no reason to ask Postgres again.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            news = await read_events(
                clients.event_redis, job_id, position, max(1, int(left * 1000))
            )
        except StoreUnavailable:
            await asyncio.sleep(max(0.0, until - time.monotonic()))
            return position
        if news:
            position = news[-1][0]
        if any(event.get("type") == "done" for _, event in news):
            break
    return position
