"""Cancel a job: a waiting one ends at once and costs nothing; a running one is asked to stop."""

from __future__ import annotations

import asyncio

import structlog

from billing.settlement import Settlement, settle
from db.errors import StoreUnavailable
from db.jobs import queries, transitions
from db.redis.client import set_cancel_flag
from db.tables import Job
from deployments.messaging.job_events import publish_done
from serve_app.http.errors import NotFound
from serve_app.resources import Clients

log = structlog.get_logger()

TIMEOUT_S = 2.0


async def cancel(clients: Clients, user_id: str, job_id: str) -> Job:
    """Cancel the job and return it: canceled, asked to stop, or final before. Idempotent.

    Raises:
        NotFound: also for another user's job.
    """
    job, ended_here = await _cancel_row(clients, user_id, job_id)
    if ended_here:
        log.info("job_canceled", job_id=job.id)
        await _publish_end(clients, job)
    elif job.status == "running":
        await _set_cancel_flag(clients, job.id)
    return job


async def _cancel_row(clients: Clients, user_id: str, job_id: str) -> tuple[Job, bool]:
    """Return the job, and whether this call ended it."""
    async with clients.sessions.begin() as session:
        job = await queries.get_owned(session, job_id, user_id)
        if job is None:
            raise NotFound
        if job.status == "queued":
            ended = await settle(session, job, Settlement("canceled"))
            if ended is not None:
                return ended, True
            # It was claimed or ended between the two statements: read it again.
            job = await queries.get(session, job_id) or job
        if job.status == "running":
            await transitions.request_cancel(session, job_id)
        return job, False


async def _publish_end(clients: Clients, job: Job) -> None:
    """Remove the message from the queue and publish the end to event streams.

    Both may fail: a runner drops the message of a canceled job, and maintenance delivers the outbox
    row that ``settle`` wrote.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            queue = clients.queues.get(job.generator)
            if queue is not None:
                await queue.remove(job.id, job.attempt + 1)
            await publish_done(clients.redis, clients.sessions, job)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("cancel_not_told", job_id=job.id, error=type(error).__name__)


async def _set_cancel_flag(clients: Clients, job_id: str) -> None:
    """Set the flag in Redis, which is fast; the replica also reads the row at every heartbeat."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await set_cancel_flag(clients.redis, job_id)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("cancel_flag_not_set", job_id=job_id, error=type(error).__name__)
