"""A replica that must be gone before its job can end gives the job back by itself.

It costs the job none of its three losses. What bounds it is a number of its own, so that a job is
not passed on for ever by replicas that all have to go.
"""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Job

MAX_DRAIN_REQUEUES = 20


def can_requeue_drained(job: Job) -> bool:
    """Whether a running job was handed back less often than it may be."""
    return job.attempt - 1 - job.losses < MAX_DRAIN_REQUEUES


async def requeue_drained(session: AsyncSession, job_id: str, attempt: int) -> Job | None:
    """running -> queued by the replica that holds attempt ``attempt``, whatever its lease.

    Not for a job whose owner has asked to cancel it: that one ends. Nor for one that was handed
    back too often: its replica runs it to the end, or is lost.
    """
    return await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "running",
            Job.attempt == attempt,
            Job.attempt - 1 - Job.losses < MAX_DRAIN_REQUEUES,
            Job.cancel_requested_at.is_(None),
        )
        .values(status="queued", stage="queued", progress=0.0)
        .returning(Job)
    )
