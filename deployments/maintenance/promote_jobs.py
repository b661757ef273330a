"""Nobody starves: a job that waited for long goes to the front, whatever its class and rank.

After :data:`PROMOTED_AFTER` it stands behind those of class ``high`` that are first in their user's
line at that moment, and before everything that comes later.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from db.jobs import queries, transitions
from db.jobs.queue_order import bullmq_priority, next_message_id
from deployments.maintenance.context import MaintenanceContext

# Well before the limits at which waiting jobs expire.
PROMOTED_AFTER = {
    "high": timedelta(minutes=30),
    "normal": timedelta(minutes=30),
    "low": timedelta(hours=2),
}

log = structlog.get_logger(__name__)


async def promote_jobs(
    context: MaintenanceContext, after: dict[str, timedelta] = PROMOTED_AFTER
) -> int:
    """Move the jobs forward that have waited longer than ``after``; returns how many.

    The row first: should Redis be away, or forget, whoever pushes the job again sees it there.
    """
    async with context.stores.sessions() as session:
        found = await queries.find_overdue(session, after)
    promoted = 0
    for late in found:
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
