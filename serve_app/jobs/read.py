"""Read a job, a page of jobs, or wait until a job is final."""

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
# The row is read this often even without an event: Redis may have lost the stream.
POLL_INTERVAL_S = 1.5


async def get_job(clients: Clients, user_id: str, job_id: str) -> Job:
    """Return the job; raises NotFound, also for another user's job."""
    async with clients.sessions() as session:
        job = await queries.get_owned(session, job_id, user_id)
    if job is None:
        raise NotFound
    return job


async def list_jobs(
    clients: Clients, user_id: str, which: queries.JobFilter, after: str | None, limit: int
) -> Sequence[Job]:
    """List up to ``limit`` jobs, newest first; the list may be a few seconds old."""
    return await clients.read_sessions(
        lambda session: queries.page(session, user_id, which, after, limit),
    )


async def wait_for_job(
    clients: Clients,
    user_id: str,
    job_id: str,
    wait_s: float,
    is_disconnected: Callable[[], Awaitable[bool]],
) -> Job:
    """Wait until the job is final, ``wait_s`` have passed or the client disconnected; return it.

    No database session is open while waiting.
    """
    until = time.monotonic() + min(wait_s, MAX_WAIT_S)
    job = await get_job(clients, user_id, job_id)
    position = STREAM_START
    while job.status not in FINAL_STATUSES:
        remaining_s = until - time.monotonic()
        if remaining_s <= 0 or await is_disconnected():
            break
        position = await _wait_for_event(
            clients, job_id, position, min(remaining_s, POLL_INTERVAL_S)
        )
        job = await get_job(clients, user_id, job_id)
    return job


async def _wait_for_event(clients: Clients, job_id: str, position: str, seconds: float) -> str:
    """Wait ``seconds`` for an event of the job; returns the position in the stream.

    Progress and previews are skipped: they are no reason to read the row again.
    """
    until = time.monotonic() + seconds
    while (remaining_s := until - time.monotonic()) > 0:
        try:
            news = await read_events(
                clients.event_redis, job_id, position, max(1, int(remaining_s * 1000))
            )
        except StoreUnavailable:
            await asyncio.sleep(max(0.0, until - time.monotonic()))
            return position
        if news:
            position = news[-1][0]
        if any(event.get("type") == "done" for _, event in news):
            break
    return position
