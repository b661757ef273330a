"""What the tables say of the service now: how much waits, and since when.

Each query reads a partial index of rows that are not done, so it costs by what waits and not by
what was. The exceptions are ``open_batches`` and ``stripe_given_up``, which read whole tables.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Float, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Batch, DeadLetter, Job, Outbox, StripeEvent


@dataclass(frozen=True)
class Waiting:
    """How many rows wait, and the age in seconds of the oldest; 0 without one."""

    rows: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class Undelivered:
    """Rows of the outbox that are not delivered; for how long one is due already."""

    rows: int = 0
    oldest_s: float = 0.0
    late_s: float = 0.0


def _age(since: ColumnElement[datetime | None]) -> ColumnElement[float]:
    """Seconds since then, never below zero; 0 for no row."""
    seconds = func.extract("epoch", func.now() - since).cast(Float)
    return func.coalesce(func.greatest(seconds, 0.0), 0.0)


async def waiting_jobs(session: AsyncSession, generators: Collection[str]) -> dict[str, Waiting]:
    """Jobs that wait for a replica; deferred ones wait for their users' other jobs and are not
    counted."""
    rows = await session.execute(
        select(Job.generator, func.count(), _age(func.min(Job.created_at)))
        .where(Job.status == "queued", Job.deferred_at.is_(None))
        .group_by(Job.generator)
    )
    found = {generator: Waiting(count, oldest) for generator, count, oldest in rows}
    return {name: found.get(name, Waiting()) for name in generators}


async def deferred_jobs(session: AsyncSession, generators: Collection[str]) -> dict[str, int]:
    """Jobs set aside because their users run as many as they may."""
    return await _count_jobs(
        session, generators, Job.status == "queued", Job.deferred_at.is_not(None)
    )


async def running_jobs(session: AsyncSession, generators: Collection[str]) -> dict[str, int]:
    return await _count_jobs(session, generators, Job.status == "running")


async def _count_jobs(
    session: AsyncSession, generators: Collection[str], *which: ColumnElement[bool]
) -> dict[str, int]:
    counted = select(Job.generator, func.count()).where(*which).group_by(Job.generator)
    found: dict[str, int] = {row[0]: row[1] for row in await session.execute(counted)}
    return {name: found.get(name, 0) for name in generators}


async def credits_held(session: AsyncSession) -> int:
    """Credits that are held by jobs that have not ended."""
    held = await session.scalar(
        select(func.sum(Job.credits_held)).where(
            or_(Job.status == "queued", Job.status == "running")
        )
    )
    return int(held or 0)


async def stuck_holds(session: AsyncSession, waited: timedelta, silent: timedelta) -> int:
    """Count the jobs that should have ended: queued since ``waited``, or running without a
    heartbeat since ``silent``.

    The wait of a job that was lost or drained counts from its last heartbeat.
    """
    since = func.coalesce(Job.heartbeat_at, Job.created_at)
    count = await session.scalar(
        select(func.count()).where(
            or_(
                and_(Job.status == "queued", since < func.now() - waited),
                and_(Job.status == "running", Job.heartbeat_at < func.now() - silent),
            )
        )
    )
    return int(count or 0)


async def dead_letters(session: AsyncSession, generators: Collection[str]) -> dict[str, int]:
    """Dead letters that nobody has resolved."""
    counted = (
        select(DeadLetter.generator, func.count())
        .where(DeadLetter.resolution.is_(None))
        .group_by(DeadLetter.generator)
    )
    found: dict[str, int] = {row[0]: row[1] for row in await session.execute(counted)}
    return {name: found.get(name, 0) for name in generators}


async def undelivered(session: AsyncSession, topics: Collection[str]) -> dict[str, Undelivered]:
    """What the outbox holds, by topic."""
    rows = await session.execute(
        select(
            Outbox.topic,
            func.count(),
            _age(func.min(Outbox.created_at)),
            _age(func.min(Outbox.available_at)),
        )
        .where(Outbox.done_at.is_(None))
        .group_by(Outbox.topic)
    )
    found = {topic: Undelivered(count, oldest, late) for topic, count, oldest, late in rows}
    return {topic: found.get(topic, Undelivered()) for topic in topics}


async def stripe_inbox(session: AsyncSession) -> Waiting:
    """Stripe's events that are not processed yet."""
    row = await session.execute(
        select(func.count(), _age(func.min(StripeEvent.received_at))).where(
            StripeEvent.processed_at.is_(None)
        )
    )
    return Waiting(*row.one())


async def stripe_given_up(session: AsyncSession) -> int:
    """Stripe's events that were given up and wait for an operator."""
    count = await session.scalar(select(func.count()).where(StripeEvent.outcome == "failed"))
    return int(count or 0)


async def open_batches(session: AsyncSession) -> Waiting:
    """Batches with jobs that have not ended."""
    row = await session.execute(
        select(func.count(), _age(func.min(Batch.created_at))).where(Batch.finished_at.is_(None))
    )
    return Waiting(*row.one())
