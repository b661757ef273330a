"""Reading job rows: one, a page, who waits, who was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.jobs.transitions import LEASE
from db.tables import Job


@dataclass(frozen=True)
class JobFilter:
    """Which of a user's jobs to list; ``None`` means any."""

    status: str | None = None
    generator: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


async def get(session: AsyncSession, job_id: str) -> Job | None:
    return await session.get(Job, job_id, populate_existing=True)


async def get_owned(session: AsyncSession, job_id: str, user_id: str) -> Job | None:
    """The job if it is this user's; someone else's, or a deleted one, looks like none."""
    return await session.scalar(
        select(Job).where(Job.id == job_id, Job.user_id == user_id, Job.deleted_at.is_(None))
    )


async def page(
    session: AsyncSession, user_id: str, which: JobFilter, after: str | None, limit: int
) -> Sequence[Job]:
    """Up to ``limit`` jobs of the user, newest first, older than the id ``after``."""
    query: Select[Job] = select(Job).where(Job.user_id == user_id, Job.deleted_at.is_(None))
    if which.status is not None:
        query = query.where(Job.status == which.status)
    if which.generator is not None:
        query = query.where(Job.generator == which.generator)
    if which.created_after is not None:
        query = query.where(Job.created_at > which.created_after)
    if which.created_before is not None:
        query = query.where(Job.created_at < which.created_before)
    if after is not None:
        query = query.where(Job.id < after)
    return (await session.scalars(query.order_by(Job.id.desc()).limit(limit))).all()


async def count_waiting(
    session: AsyncSession, user_id: str, generator: str, *, up_to: int
) -> tuple[int, int]:
    """How many of the user's jobs wait: for this generator, and in all.

    Looks at ``up_to`` of them at most, so that nobody's hundred thousand make a submit slow.
    """
    looked_at = (
        select(Job.generator)
        .where(Job.user_id == user_id, Job.status == "queued")
        .limit(up_to)
        .subquery()
    )
    here = func.count().filter(looked_at.c.generator == generator)
    row = (await session.execute(select(here, func.count()).select_from(looked_at))).one()
    return row[0], row[1]


async def find_lost(session: AsyncSession, limit: int = 100) -> Sequence[Job]:
    """Running jobs whose replica has gone silent."""
    rows = await session.scalars(
        select(Job)
        .where(Job.status == "running", Job.heartbeat_at < func.now() - LEASE)
        .order_by(Job.heartbeat_at)
        .limit(limit)
    )
    return rows.all()


async def find_waiting(
    session: AsyncSession, generator: str, after: str | None, older_than: timedelta, limit: int
) -> Sequence[Job]:
    """Queued jobs of a generator in id order, for checking them against the queue.

    Without the parked ones: those have no message, and shall have none.
    """
    query = select(Job).where(
        Job.generator == generator,
        Job.status == "queued",
        Job.parked_at.is_(None),
        Job.created_at < func.now() - older_than,
    )
    if after is not None:
        query = query.where(Job.id > after)
    return (await session.scalars(query.order_by(Job.id).limit(limit))).all()


async def find_expired(session: AsyncSession, limits: dict[str, timedelta]) -> Sequence[Job]:
    """Some of the queued jobs that waited longer than their priority class allows.

    One that ran, and was lost or handed back, waits anew from then on.
    """
    return await _waited_longer(
        session, limits, select(Job), func.coalesce(Job.heartbeat_at, Job.created_at)
    )


async def find_overdue(session: AsyncSession, limits: dict[str, timedelta]) -> Sequence[Job]:
    """Some of the queued jobs that waited longer than ``limits`` and were not promoted yet."""
    return await _waited_longer(session, limits, select(Job).where(Job.promoted_at.is_(None)))


async def _waited_longer(
    session: AsyncSession,
    limits: dict[str, timedelta],
    query: Select[Job],
    since: ColumnElement[datetime] | None = None,
) -> Sequence[Job]:
    found: list[Job] = []
    for priority, limit in limits.items():
        waited = query if since is None else query.where(since < func.now() - limit)
        found += await session.scalars(
            waited.where(
                Job.status == "queued",
                Job.priority == priority,
                Job.created_at < func.now() - limit,
            )
            .order_by(Job.created_at)
            .limit(100)
        )
    return found
