"""Batches: their rows, and the jobs that belong to them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Batch, Job


async def get_owned(session: AsyncSession, batch_id: str, user_id: str) -> Batch | None:
    """Return the batch, if it belongs to this user; else None."""
    return await session.scalar(
        select(Batch)
        .where(Batch.id == batch_id, Batch.user_id == user_id)
        .execution_options(populate_existing=True)
    )


async def page(
    session: AsyncSession, user_id: str, after: str | None, limit: int
) -> Sequence[Batch]:
    """Return up to ``limit`` batches of the user, newest first, older than the id ``after``."""
    query = select(Batch).where(Batch.user_id == user_id)
    if after is not None:
        query = query.where(Batch.id < after)
    return (await session.scalars(query.order_by(Batch.id.desc()).limit(limit))).all()


async def count_end(session: AsyncSession, job: Job) -> Batch | None:
    """Count a job that has ended; returns its batch if that was the last one of it.

    The caller has ended the job in this transaction, and nobody else can.
    """
    counts = {"succeeded": Batch.succeeded, "failed": Batch.failed, "canceled": Batch.canceled}
    ended = Batch.succeeded + Batch.failed + Batch.canceled + 1
    batch = await session.scalar(
        update(Batch)
        .where(Batch.id == job.batch_id)
        .values(
            {
                job.status: counts[job.status] + 1,
                "credits_charged": Batch.credits_charged + job.credits_charged,
                "finished_at": case((ended == Batch.total, func.now())),
            }
        )
        .returning(Batch)
        .execution_options(populate_existing=True)
    )
    return batch if batch is not None and batch.finished_at is not None else None


async def request_cancel(session: AsyncSession, batch_id: str) -> None:
    """Ask for the end of a batch; one that has ended, or was asked before, stays as it is."""
    await session.execute(
        update(Batch)
        .where(
            Batch.id == batch_id, Batch.finished_at.is_(None), Batch.cancel_requested_at.is_(None)
        )
        .values(cancel_requested_at=func.now())
    )


# Of a job and its batch.
TO_CANCEL = (
    Batch.cancel_requested_at.is_not(None),
    Batch.finished_at.is_(None),
    Job.finished_at.is_(None),
    Job.cancel_requested_at.is_(None),
)


async def find_to_cancel(session: AsyncSession, limit: int) -> Sequence[Job]:
    """Return jobs that are to be canceled with their batch, and were not asked to stop yet.

    Running ones come first, and a large batch keeps no small one waiting.
    """
    place = func.row_number().over(
        partition_by=Job.batch_id, order_by=(Job.status == "queued", Job.batch_line)
    )
    jobs = await session.scalars(
        select(Job)
        .join(Batch, Batch.id == Job.batch_id)
        .where(*TO_CANCEL)
        .order_by(place)
        .limit(limit)
    )
    return jobs.all()


async def ended_jobs(
    session: AsyncSession, batch_id: str, after_line: int, limit: int
) -> Sequence[Job]:
    """Return jobs of the batch that have ended and were not erased, by line."""
    jobs = await session.scalars(
        select(Job)
        .where(
            Job.batch_id == batch_id,
            Job.batch_line > after_line,
            Job.finished_at.is_not(None),
            Job.deleted_at.is_(None),
        )
        .order_by(Job.batch_line)
        .limit(limit)
    )
    return jobs.all()
