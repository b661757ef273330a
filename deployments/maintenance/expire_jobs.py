"""End jobs that were queued for too long; they cost nothing."""

from __future__ import annotations

from datetime import timedelta

import structlog

from billing.settlement import Settlement, settle
from db.errors import StoreUnavailable
from db.jobs import queries
from deployments.maintenance.context import MaintenanceContext
from deployments.messaging.job_events import publish_done
from deployments.worker import failures

# The more urgent a job is, the sooner its result has no more value for its owner.
MAX_WAIT = {
    "high": timedelta(hours=6),
    "normal": timedelta(hours=24),
    "low": timedelta(hours=72),
}

log = structlog.get_logger(__name__)


async def expire_jobs(context: MaintenanceContext, limits: dict[str, timedelta] = MAX_WAIT) -> int:
    """End the jobs that waited longer than ``limits`` (by priority) allow; returns how many."""
    async with context.stores.sessions() as session:
        jobs = await queries.find_expired(session, limits)
    expired = 0
    for job in jobs:
        async with context.stores.sessions.begin() as session:
            ended = await settle(session, job, Settlement("failed", error=failures.expired()))
        if ended is None:
            continue
        expired += 1
        log.warning("job_expired", job_id=job.id, priority=job.priority)
        await publish_done(context.stores.redis, context.stores.sessions, ended)
        await _remove_message(context, job.generator, job.id, job.attempt + 1)
    return expired


async def _remove_message(
    context: MaintenanceContext, generator: str, job_id: str, attempt: int
) -> None:
    queue = context.queues.get(generator)
    try:
        if queue is not None:
            await queue.remove(job_id, attempt)
    except StoreUnavailable:
        log.info("expired_message_left", job_id=job_id)  # the claim will fail: the row is final
