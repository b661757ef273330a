"""Dead letters: jobs that failed because their replicas were lost, for administrators to check."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import DeadLetter, Job


async def add(session: AsyncSession, job: Job, reason: str) -> None:
    """Add a dead letter, in the transaction that ends ``job``; an existing one stays unchanged."""
    values = {
        "id": new_id("dead"),
        "job_id": job.id,
        "generator": job.generator,
        "reason": reason,
        "replica": job.replica,
    }
    await session.execute(
        insert(DeadLetter).values(values).on_conflict_do_nothing(index_elements=["job_id"])
    )


async def page(
    session: AsyncSession, *, unresolved: bool, after: str | None, limit: int
) -> Sequence[tuple[DeadLetter, Job]]:
    """Up to ``limit`` dead letters with their jobs, newest first, older than the id ``after``."""
    query = select(DeadLetter, Job).join(Job, Job.id == DeadLetter.job_id)
    if unresolved:
        query = query.where(DeadLetter.resolution.is_(None))
    if after is not None:
        query = query.where(DeadLetter.id < after)
    rows = await session.execute(query.order_by(DeadLetter.id.desc()).limit(limit))
    return [(letter, job) for letter, job in rows]


async def get(session: AsyncSession, letter_id: str) -> tuple[DeadLetter, Job] | None:
    row = (
        await session.execute(
            select(DeadLetter, Job)
            .join(Job, Job.id == DeadLetter.job_id)
            .where(DeadLetter.id == letter_id)
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1])


async def resolve(
    session: AsyncSession, letter_id: str, resolution: str, retried_as: str | None = None
) -> DeadLetter | None:
    """Mark a dead letter as resolved; None if it was resolved before."""
    return await session.scalar(
        update(DeadLetter)
        .where(DeadLetter.id == letter_id, DeadLetter.resolution.is_(None))
        .values(resolution=resolution, resolved_at=func.now(), retried_as=retried_as)
        .returning(DeadLetter)
    )
