"""Cancel: a waiting job ends here and costs nothing; a running one is asked to stop."""

from __future__ import annotations

import asyncio

import structlog

from billing.settlement import Ending, settle
from db import jobs
from db.errors import StoreUnavailable
from db.redis import request_cancel
from db.tables import Job
from deployments.announce import tell_done
from serve_app.clients import Clients
from serve_app.errors import NotFound

log = structlog.get_logger()

PATIENCE_S = 2.0


async def cancel(clients: Clients, user_id: str, job_id: str) -> Job:
    """The job as it is now: canceled, running and asked to stop, or final before. Idempotent.

    Raises:
        NotFound: also for another user's job.
    """
    job, ended_here = await _decide(clients, user_id, job_id)
    if ended_here:
        log.info("job_canceled", job_id=job.id)
        await _tell(clients, job)
    elif job.status == "running":
        await _ask_replica(clients, job.id)
    return job


async def _decide(clients: Clients, user_id: str, job_id: str) -> tuple[Job, bool]:
    """The job, and whether this call is the one that ended it."""
    async with clients.sessions.begin() as session:
        job = await jobs.get_owned(session, job_id, user_id)
        if job is None:
            raise NotFound
        if job.status == "queued":
            ended = await settle(session, job, Ending("canceled"))
            if ended is not None:
                return ended, True
            # Claimed or ended between the two statements: see what it is now.
            job = await jobs.get(session, job_id) or job
        if job.status == "running":
            await jobs.request_cancel(session, job_id)
        return job, False


async def _tell(clients: Clients, job: Job) -> None:
    """The queue forgets the message, whoever watches hears of the end.

    Both are courtesies: a runner drops the message of a canceled job, and the keeper delivers the
    outbox row that ``settle`` wrote.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            queue = clients.queues.get(job.generator)
            if queue is not None:
                await queue.remove(job.id, job.attempt + 1)
            await tell_done(clients.redis, clients.sessions, job)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("cancel_not_told", job_id=job.id, error=type(error).__name__)


async def _ask_replica(clients: Clients, job_id: str) -> None:
    """The fast way to the replica; it also reads the row's flag with every heartbeat."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await request_cancel(clients.redis, job_id)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("cancel_flag_not_set", job_id=job_id, error=type(error).__name__)
