"""Read the rows of jobs: one, a page, the queued ones, the lost ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    Integer,
    Interval,
    Select,
    Text,
    any_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from db.session import Sessions
from db.tables import Job
from db.tables.jobs import HAS_METADATA, OWN_METADATA

T = TypeVar("T")

MANY = 1000  # jobs, which are not sorted for one page


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; ``None`` means any."""

    status: str | None = None
    generator: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    generators: tuple[str, ...] | None = None
    batch_id: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    # Keys of the metadata, each with values of which it has one. Of the jobs of one user only.
    metadata: tuple[tuple[str, tuple[Any, ...]], ...] = ()


async def get(session: AsyncSession, job_id: str) -> Job | None:
    return await session.get(Job, job_id, populate_existing=True)


async def get_owned(session: AsyncSession, job_id: str, user_id: str) -> Job | None:
    """The job, if it belongs to this user and was not deleted; else None."""
    return await session.scalar(
        select(Job).where(Job.id == job_id, Job.user_id == user_id, Job.deleted_at.is_(None))
    )


async def find_owned(sessions: Sessions, wanted: Sequence[tuple[str, str]]) -> list[Job | None]:
    """Return each job that is wanted by its id and by the user who wants it: None if there is no
    such job, it belongs to somebody else, or it was deleted."""
    async with sessions() as session:
        jobs = await session.scalars(_BY_IDS, {"ids": [job_id for job_id, _ in wanted]})
        found = {(job.id, job.user_id): job for job in jobs}
    return [found.get(one) for one in wanted]


# Built once, since clients that poll run it all the time.
_BY_IDS = select(Job).where(
    Job.id == any_(bindparam("ids", type_=ARRAY(Text))), Job.deleted_at.is_(None)
)


# As the index ``jobs_by_metadata`` has them.
_OWN_METADATA = literal_column(OWN_METADATA, JSONB)
_HAS_METADATA = text(HAS_METADATA)


OVERDUE = (
    Job.cancel_at <= func.now(),
    Job.finished_at.is_(None),
    Job.cancel_requested_at.is_(None),
)


async def find_overdue(session: AsyncSession, limit: int) -> Sequence[Job]:
    """Return jobs that are to be canceled by now, and were not asked to stop yet."""
    jobs = await session.scalars(select(Job).where(*OVERDUE).order_by(Job.cancel_at).limit(limit))
    return jobs.all()


async def page(
    session: AsyncSession, user_id: str, which: JobFilter, after: str | None, limit: int
) -> Sequence[Job]:
    """Up to ``limit`` jobs of the user, newest first, older than the id ``after``."""
    query = select(Job).where(Job.user_id == user_id, Job.deleted_at.is_(None))
    for key, values in which.metadata:
        has_one = (
            _OWN_METADATA.contains(literal({user_id: {key: value}}, JSONB)) for value in values
        )
        query = query.where(_HAS_METADATA, or_(*has_one))
    if which.metadata:
        # Postgres cannot tell how many jobs have certain metadata, and would look through all jobs
        # of the user, newest first, until there are enough: among many that match they come soon.
        ids = _which(query.with_only_columns(Job.id), which, after).limit(MANY)
        few = (await session.scalars(ids)).all()
        if len(few) < MANY:
            query, which, after = select(Job).where(Job.id.in_(few)), JobFilter(), None
    return (await session.scalars(_newest_first(query, which, after, limit))).all()


async def page_of_all(
    session: AsyncSession, which: JobFilter, after: str | None, limit: int
) -> Sequence[Job]:
    """Up to ``limit`` jobs of all users, erased ones too, newest first, older than ``after``."""
    return (await session.scalars(_newest_first(select(Job), which, after, limit))).all()


def _newest_first(
    query: Select[Job], which: JobFilter, after: str | None, limit: int
) -> Select[Job]:
    return _which(query, which, after).order_by(Job.id.desc()).limit(limit)


def _which(query: Select[T], which: JobFilter, after: str | None) -> Select[T]:
    if which.status is not None:
        query = query.where(Job.status == which.status)
    if which.generator is not None:
        query = query.where(Job.generator == which.generator)
    if which.generators is not None:
        query = query.where(Job.generator.in_(which.generators))
    if which.created_after is not None:
        query = query.where(Job.created_at > which.created_after)
    if which.created_before is not None:
        query = query.where(Job.created_at < which.created_before)
    if which.batch_id is not None:
        query = query.where(Job.batch_id == which.batch_id)
    if which.user_id is not None:
        query = query.where(Job.user_id == which.user_id)
    if which.request_id is not None:
        query = query.where(Job.request_id == which.request_id)
    if after is not None:
        query = query.where(Job.id < after)
    return query


_LOST = (
    select(Job)
    .where(
        Job.status == "running", Job.heartbeat_at < func.now() - bindparam("lease", type_=Interval)
    )
    .order_by(Job.heartbeat_at)
    .limit(bindparam("most", type_=Integer))
)


async def find_lost(session: AsyncSession, lease: timedelta, limit: int = 100) -> Sequence[Job]:
    """Running jobs whose last heartbeat is older than ``lease``, oldest first."""
    return (await session.scalars(_LOST, {"lease": lease, "most": limit})).all()


async def find_waiting(
    session: AsyncSession, generator: str, after: str | None, older_than: timedelta, limit: int
) -> Sequence[Job]:
    """A page of a generator's queued jobs in id order, to compare them with its queue.

    Deferred jobs are left out: they have no message by intent.
    """
    query = select(Job).where(
        Job.generator == generator,
        Job.status == "queued",
        Job.deferred_at.is_(None),
        Job.created_at < func.now() - older_than,
    )
    if after is not None:
        query = query.where(Job.id > after)
    return (await session.scalars(query.order_by(Job.id).limit(limit))).all()


async def find_expired(session: AsyncSession, limits: dict[str, timedelta]) -> Sequence[Job]:
    """Up to 100 jobs of each priority that are queued for longer than its limit.

    The wait of a job that was lost or drained counts from its last heartbeat.
    """
    jobs: list[Job] = []
    for priority, limit in limits.items():
        jobs += await session.scalars(
            select(Job)
            .where(
                Job.status == "queued",
                Job.priority == priority,
                Job.created_at < func.now() - limit,
                func.coalesce(Job.heartbeat_at, Job.created_at) < func.now() - limit,
            )
            .order_by(Job.created_at)
            .limit(100)
        )
    return jobs
