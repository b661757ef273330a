"""Queries about deferred jobs: queued rows without a message.

A job is deferred because its user runs as many jobs as allowed. ``billing.concurrency`` decides
that while it holds the user's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ScalarSelect, func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from db.jobs.fair_queue import BY_AGE
from db.tables import Job, User

IS_DEFERRED = (Job.status == "queued") & Job.deferred_at.is_not(None)


@dataclass(frozen=True)
class Flow:
    """The waiting jobs of one user in one queue at one priority (``db.jobs.fair_queue``)."""

    user_id: str
    generator: str
    priority: str


async def flow_of(session: AsyncSession, job_id: str, attempt: int) -> Flow | None:
    """The flow of the job, if it waits for attempt number ``attempt``."""
    row = await session.execute(
        select(Job.user_id, Job.generator, Job.priority).where(
            Job.id == job_id, Job.status == "queued", Job.attempt == attempt - 1
        )
    )
    columns = row.one_or_none()
    return Flow(*columns) if columns else None


async def is_out_of_turn(session: AsyncSession, flow: Flow, job_id: str, free_slots: int) -> bool:
    """Whether deferred jobs of the flow are older than this one, which is not among its first
    ``free_slots`` jobs."""
    older = (
        Job.user_id == flow.user_id,
        Job.generator == flow.generator,
        Job.priority == flow.priority,
        job_id > BY_AGE,
    )
    oldest = select(Job.id).where(*older, IS_DEFERRED).order_by(BY_AGE).limit(1)
    if await session.scalar(oldest) is None:
        return False
    first = select(Job.id).where(*older, Job.status == "queued").order_by(BY_AGE).limit(free_slots)
    count = await session.scalar(select(func.count()).select_from(first.subquery()))
    return int(count or 0) >= free_slots


async def count_running(session: AsyncSession, user_id: str) -> int:
    """Count the user's running jobs over all generators."""
    count = await session.scalar(
        select(func.count()).where(Job.user_id == user_id, Job.status == "running")
    )
    return int(count or 0)


async def count_queued(session: AsyncSession, user_id: str, up_to: int) -> int:
    """Count the user's queued jobs, deferred ones included, up to ``up_to``."""
    return int(await session.scalar(select(queued_count(user_id, up_to))) or 0)


def queued_count(user_id: str, up_to: int) -> ScalarSelect[int]:
    """What ``count_queued`` counts, as a column of another query."""
    queued = select(Job.id).where(Job.user_id == user_id, Job.status == "queued").limit(up_to)
    return select(func.count()).select_from(queued.subquery()).scalar_subquery()


async def has_deferred(session: AsyncSession, user_id: str) -> bool:
    job_id = await session.scalar(
        select(Job.id).where(Job.user_id == user_id, IS_DEFERRED).limit(1)
    )
    return job_id is not None


async def find_resumable(session: AsyncSession, user_id: str, free_slots: int) -> Sequence[Job]:
    """The deferred jobs among the first ``free_slots`` of each of the user's flows, oldest first.

    ``free_slots`` counts for each flow, so that a queue whose replicas are busy does not block the
    others. Jobs beyond the limit are deferred again when they are claimed.
    """
    flows = (
        select(Job.generator, Job.priority)
        .where(Job.user_id == user_id, IS_DEFERRED)
        .distinct()
        .subquery()
    )
    first = (
        select(Job.id, Job.deferred_at)
        .where(
            Job.user_id == user_id,
            Job.status == "queued",
            Job.generator == flows.c.generator,
            Job.priority == flows.c.priority,
        )
        .order_by(BY_AGE)
        .limit(free_slots)
        .lateral()
    )
    ids = select(first.c.id).select_from(flows.join(first, true()))
    jobs = await session.scalars(
        select(Job)
        .where(Job.id.in_(ids.where(first.c.deferred_at.is_not(None))))
        .order_by(Job.id)
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
