"""Prevent starvation: a job that waited for long moves to the front, whatever its class and rank.

After :data:`PROMOTED_AFTER` it comes behind the jobs of class ``high`` that are each the first of
their user at that moment, and before every job that arrives later.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from db.jobs import queries, transitions
from db.jobs.queue_order import bullmq_priority, next_message_id
from deployments.maintenance.context import MaintenanceContext

# Well below the limits after which queued jobs expire.
PROMOTED_AFTER = {
    "high": timedelta(minutes=30),
    "normal": timedelta(minutes=30),
    "low": timedelta(hours=2),
}

log = structlog.get_logger(__name__)


async def promote_jobs(
    context: MaintenanceContext, after: dict[str, timedelta] = PROMOTED_AFTER
) -> int:
    """Move jobs to the front that have waited longer than ``after``; returns how many.

    The row changes first: if Redis is down or loses the message, the next push reads the row.
    """
    async with context.stores.sessions() as session:
        overdue = await queries.find_overdue(session, after)
    promoted = 0
    for late in overdue:
        async with context.stores.sessions.begin() as session:
            job = await transitions.promote(session, late.id)
        if job is None:
            continue
        promoted += 1
        log.info("job_promoted", job_id=job.id, priority=job.priority, rank=job.rank)
        queue = context.queues.get(job.generator)
        if queue is not None:
            await queue.change_priority(next_message_id(job), bullmq_priority(job))
    return promoted
