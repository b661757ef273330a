"""Cancel a job: a waiting one ends at once and costs nothing; a running one is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from redis.asyncio import Redis

from billing.settlement import Settlement, settle
from db.errors import StoreUnavailable
from db.jobs import queries, transitions
from db.operations.audit_log import JobAudit
from db.redis.client import set_cancel_flag
from db.redis.queue import JobQueue
from db.session import Sessions
from db.tables import Job
from deployments.messaging.job_events import publish_done

log = structlog.get_logger(__name__)

TIMEOUT_S = 2.0


async def cancel_job(
    sessions: Sessions,
    redis: Redis,
    queues: Mapping[str, JobQueue],
    job: Job,
    audit: JobAudit | None = None,
) -> Job:
    """Cancel ``job`` and return it: canceled, asked to stop, or final before. Idempotent.

    ``audit`` gets it if this call ended it, or was the first to ask for its stop.
    """
    job, ended_here = await _cancel_row(sessions, job, audit)
    if ended_here:
        log.info("job_canceled", job_id=job.id)
        await _publish_end(sessions, redis, queues, job)
    elif job.status == "running":
        await _set_cancel_flag(redis, job.id)
    return job


async def _cancel_row(sessions: Sessions, job: Job, audit: JobAudit | None) -> tuple[Job, bool]:
    """Return the job, and whether this call ended it."""
    async with sessions.begin() as session:
        if job.status == "queued":
            ended = await settle(session, job, Settlement("canceled"))
            if ended is not None:
                if audit is not None:
                    await audit(session, ended)
                return ended, True
            # It was claimed or ended since it was read: read it again.
            job = await queries.get(session, job.id) or job
        if job.status == "running":
            asked = await transitions.request_cancel(session, job.id)
            if asked and audit is not None:
                await audit(session, job)
        return job, False


async def _publish_end(
    sessions: Sessions, redis: Redis, queues: Mapping[str, JobQueue], job: Job
) -> None:
    """Remove the message from the queue and publish the end to event streams.

    Both may fail: a runner drops the message of a canceled job, and maintenance delivers the outbox
    row that ``settle`` wrote.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            queue = queues.get(job.generator)
            if queue is not None:
                await queue.remove(job.id, job.attempt + 1)
            await publish_done(redis, sessions, job)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("cancel_not_told", job_id=job.id, error=type(error).__name__)


async def _set_cancel_flag(redis: Redis, job_id: str) -> None:
    """Set the flag in Redis, which is fast; the replica also reads the row at every heartbeat."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await set_cancel_flag(redis, job_id)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("cancel_flag_not_set", job_id=job_id, error=type(error).__name__)
