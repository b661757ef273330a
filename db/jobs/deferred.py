"""Queries about deferred jobs: queued rows without a message.

A job is deferred because its user runs as many jobs as allowed. ``billing.concurrency`` decides
that while it holds the user's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    Text,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession

from db.jobs.fair_queue import BY_AGE
from db.jobs.states import IS_QUEUED
from db.tables import Job, User

IS_DEFERRED = (Job.status == "queued") & Job.deferred_at.is_not(None)


@dataclass(frozen=True)
class Flow:
    """The waiting jobs of one user in one queue at one priority (``db.jobs.fair_queue``)."""

    user_id: str
    generator: str
    priority: str


# The statements that every claim and settlement runs are built once.
_LOCKED_FLOW = (
    select(Job.user_id, Job.generator, Job.priority)
    .join(User, User.id == Job.user_id)
    .where(
        Job.id == bindparam("job_id"),
        Job.status == "queued",
        Job.attempt == bindparam("before", type_=Integer),
    )
    .with_for_update(key_share=True, of=User)
)


async def lock_flow(session: AsyncSession, job_id: str, attempt: int) -> Flow | None:
    """Return the flow of the job, if it waits for attempt number ``attempt``, and lock its user's
    row as ``billing.ledger.lock_user`` does.

    That the job waits may be over by the time the lock is there.
    """
    row = await session.execute(_LOCKED_FLOW, {"job_id": job_id, "before": attempt - 1})
    columns = row.one_or_none()
    return Flow(*columns) if columns else None


@dataclass(frozen=True)
class Turn:
    """What a claim depends on: columns of the job's user, how many jobs of theirs run, and whether
    deferred jobs of the flow are older."""

    plan: str
    max_waiting_jobs: int | None
    max_running_jobs: int | None
    running: int
    older_deferred: bool


def _older_in_flow() -> tuple[ColumnElement[bool], ...]:
    """The jobs of ``:user_id``'s flow that were submitted before ``:job_id``."""
    return (
        Job.user_id == bindparam("user_id"),
        Job.generator == bindparam("generator"),
        Job.priority == bindparam("priority"),
        bindparam("job_id", type_=Text) > BY_AGE,
    )


_TURN = select(
    User.plan,
    User.max_waiting_jobs,
    User.max_running_jobs,
    select(func.count())
    .where(Job.user_id == bindparam("user_id"), Job.status == "running")
    .scalar_subquery(),
    select(Job.id)
    .where(*_older_in_flow(), IS_DEFERRED)
    .order_by(BY_AGE)
    .limit(1)
    .scalar_subquery()
    .is_not(None),
).where(User.id == bindparam("user_id"))

_COUNT_OLDER = select(func.count()).select_from(
    select(Job.id)
    .where(*_older_in_flow(), Job.status == "queued")
    .order_by(BY_AGE)
    .limit(bindparam("free_slots", type_=Integer))
    .subquery()
)


async def read_turn(session: AsyncSession, flow: Flow, job_id: str) -> Turn:
    """Read what the claim of a job of the flow depends on, in one round trip."""
    row = await session.execute(_TURN, {"job_id": job_id, **asdict(flow)})
    return Turn(*row.one())


async def is_out_of_turn(session: AsyncSession, flow: Flow, job_id: str, free_slots: int) -> bool:
    """Whether the job, older than which are deferred ones, is not among the first ``free_slots``
    jobs of its flow."""
    which = {"job_id": job_id, "free_slots": free_slots, **asdict(flow)}
    return int(await session.scalar(_COUNT_OLDER, which) or 0) >= free_slots


async def count_running(session: AsyncSession, user_id: str) -> int:
    """Count the user's running jobs over all generators."""
    count = await session.scalar(
        select(func.count()).where(Job.user_id == user_id, Job.status == "running")
    )
    return int(count or 0)


async def count_queued(session: AsyncSession, user_id: str, up_to: int) -> int:
    """Count the user's queued jobs, deferred ones included, up to ``up_to``."""
    return int(await session.scalar(select(queued_count(user_id, up_to))) or 0)


def queued_count(
    user_id: str | ColumnElement[str], up_to: int | ColumnElement[int]
) -> ScalarSelect[int]:
    """What ``count_queued`` counts, as a column of another query."""
    queued = select(Job.id).where(Job.user_id == user_id, IS_QUEUED).limit(up_to)
    return select(func.count()).select_from(queued.subquery()).scalar_subquery()


# One of the deferred jobs of ``:user_id``, if there are any.
A_DEFERRED = select(Job.id).where(Job.user_id == bindparam("user_id"), IS_DEFERRED).limit(1)


async def has_deferred(session: AsyncSession, user_id: str) -> bool:
    return await session.scalar(A_DEFERRED, {"user_id": user_id}) is not None


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


_USERS_WITH_DEFERRED = select(
    User.id,
    User.plan,
    User.max_waiting_jobs,
    User.max_running_jobs,
    select(func.count())
    .where(Job.user_id == User.id, Job.status == "running")
    .correlate(User)
    .scalar_subquery(),
).where(User.id.in_(select(Job.user_id).where(IS_DEFERRED).distinct()))


async def users_with_deferred(
    session: AsyncSession,
) -> Sequence[tuple[str, str, int | None, int | None, int]]:
    """Users with deferred jobs: id, plan, own limits (queued, running), number of running jobs."""
    return [tuple(row) for row in await session.execute(_USERS_WITH_DEFERRED)]
