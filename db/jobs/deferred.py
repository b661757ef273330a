"""Jobs set aside because their user runs as many as may: queued rows without a message.

``billing.concurrency`` decides, under the user's row; these are its statements.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import QUEUE_ORDER, Job, User

_DEFERRED = (Job.status == "queued") & Job.parked_at.is_not(None)


_IN_QUEUE_ORDER = (*(literal_column(part) for part in QUEUE_ORDER), Job.rank, Job.id)


async def queued_job_owner(session: AsyncSession, job_id: str, attempt: int) -> str | None:
    """Whose job it is, if it waits for attempt number ``attempt``."""
    return await session.scalar(
        select(Job.user_id).where(
            Job.id == job_id, Job.status == "queued", Job.attempt == attempt - 1
        )
    )


async def count_running(session: AsyncSession, user_id: str) -> int:
    """How many of the user's jobs run, over all generators."""
    count = await session.scalar(
        select(func.count()).where(Job.user_id == user_id, Job.status == "running")
    )
    return int(count or 0)


async def count_queued(session: AsyncSession, user_id: str, up_to: int) -> int:
    """How many of the user's jobs wait, parked or not; counts ``up_to`` of them at most."""
    looked_at = select(Job.id).where(Job.user_id == user_id, Job.status == "queued").limit(up_to)
    return int(await session.scalar(select(func.count()).select_from(looked_at.subquery())) or 0)


async def has_deferred(session: AsyncSession, user_id: str) -> bool:
    found = await session.scalar(select(Job.id).where(Job.user_id == user_id, _DEFERRED).limit(1))
    return found is not None


async def find_resumable(session: AsyncSession, user_id: str, room: int) -> Sequence[Job]:
    """The parked ones among the user's first ``room`` waiting jobs of each generator.

    Of each: a queue whose replicas are busy must not keep the room from the others. What goes
    beyond is parked again where it is claimed.
    """
    queues = select(Job.generator).where(Job.user_id == user_id, _DEFERRED).distinct().subquery()
    first = (
        select(Job.id, Job.parked_at)
        .where(
            Job.user_id == user_id,
            Job.status == "queued",
            Job.generator == queues.c.generator,
        )
        .order_by(*_IN_QUEUE_ORDER)
        .limit(room)
        .lateral()
    )
    ids = select(first.c.id).select_from(queues.join(first, true()))
    found = await session.scalars(
        select(Job)
        .where(Job.id.in_(ids.where(first.c.parked_at.is_not(None))))
        .order_by(*_IN_QUEUE_ORDER)
        .execution_options(populate_existing=True)
    )
    return found.all()


async def users_with_deferred(
    session: AsyncSession,
) -> Sequence[tuple[str, str, int | None, int | None, int]]:
    """Users with parked jobs: id, plan, their own two limits, and how many of their jobs run."""
    at_work = (
        select(func.count())
        .where(Job.user_id == User.id, Job.status == "running")
        .correlate(User)
        .scalar_subquery()
    )
    rows = await session.execute(
        select(User.id, User.plan, User.max_waiting_jobs, User.max_running_jobs, at_work).where(
            User.id.in_(select(Job.user_id).where(_DEFERRED).distinct())
        )
    )
    return [tuple(row) for row in rows]
