"""Queries about deferred jobs: queued rows without a message.

A job is deferred because its user runs as many jobs as allowed. ``billing.concurrency`` decides
that while it holds the user's row.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import QUEUE_ORDER, Job, User

IS_DEFERRED = (Job.status == "queued") & Job.deferred_at.is_not(None)
_IN_QUEUE_ORDER = (*(literal_column(part) for part in QUEUE_ORDER), Job.rank, Job.id)


async def queued_job_owner(session: AsyncSession, job_id: str, attempt: int) -> str | None:
    """The id of the job's user, if the job waits for attempt number ``attempt``."""
    return await session.scalar(
        select(Job.user_id).where(
            Job.id == job_id, Job.status == "queued", Job.attempt == attempt - 1
        )
    )


async def count_running(session: AsyncSession, user_id: str) -> int:
    """Count the user's running jobs over all generators."""
    count = await session.scalar(
        select(func.count()).where(Job.user_id == user_id, Job.status == "running")
    )
    return int(count or 0)


async def count_queued(session: AsyncSession, user_id: str, up_to: int) -> int:
    """Count the user's queued jobs, deferred ones included, up to ``up_to``."""
    queued = select(Job.id).where(Job.user_id == user_id, Job.status == "queued").limit(up_to)
    return int(await session.scalar(select(func.count()).select_from(queued.subquery())) or 0)


async def has_deferred(session: AsyncSession, user_id: str) -> bool:
    job_id = await session.scalar(
        select(Job.id).where(Job.user_id == user_id, IS_DEFERRED).limit(1)
    )
    return job_id is not None


async def find_resumable(session: AsyncSession, user_id: str, free_slots: int) -> Sequence[Job]:
    """The deferred jobs among the user's first ``free_slots`` queued jobs of each generator.

    ``free_slots`` counts for each generator, so that a queue whose replicas are busy does not
    block the others. Jobs beyond the limit are deferred again when they are claimed.
    """
    queues = select(Job.generator).where(Job.user_id == user_id, IS_DEFERRED).distinct().subquery()
    first = (
        select(Job.id, Job.deferred_at)
        .where(
            Job.user_id == user_id,
            Job.status == "queued",
            Job.generator == queues.c.generator,
        )
        .order_by(*_IN_QUEUE_ORDER)
        .limit(free_slots)
        .lateral()
    )
    ids = select(first.c.id).select_from(queues.join(first, true()))
    jobs = await session.scalars(
        select(Job)
        .where(Job.id.in_(ids.where(first.c.deferred_at.is_not(None))))
        .order_by(*_IN_QUEUE_ORDER)
        .execution_options(populate_existing=True)
    )
    return jobs.all()


async def users_with_deferred(
    session: AsyncSession,
) -> Sequence[tuple[str, str, int | None, int | None, int]]:
    """Users with deferred jobs: id, plan, own limits (queued, running), number of running jobs."""
    running = (
        select(func.count())
        .where(Job.user_id == User.id, Job.status == "running")
        .correlate(User)
        .scalar_subquery()
    )
    rows = await session.execute(
        select(User.id, User.plan, User.max_waiting_jobs, User.max_running_jobs, running).where(
            User.id.in_(select(Job.user_id).where(IS_DEFERRED).distinct())
        )
    )
    return [tuple(row) for row in rows]
