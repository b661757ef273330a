"""The job rows: every change of status is one guarded UPDATE that says whether it moved the row.

Nothing here touches money; ``billing.settlement`` joins the two in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.outbox import webhook_events
from db.tables import FINAL_STATUSES, Job

MAX_LOSSES = 3  # of attempts; one that its replica handed back is none (db.jobs.hand_backs)
# A job that ended its replica's process once is tried again alone; after the second time it is to
# blame, and not whoever ran beside it.
MAX_CRASHES = 2
LEASE = timedelta(seconds=20)  # a running row whose heartbeat is older has lost its replica


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


async def claim(
    session: AsyncSession, job_id: str, attempt: int, replica: str | None = None
) -> Job | None:
    """queued -> running as attempt number ``attempt``, the fencing token, held by ``replica``.

    None if the row is not waiting for exactly this attempt: the message is stale, drop it.
    """
    job = await session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.status == "queued", Job.attempt == attempt - 1)
        .values(
            status="running",
            attempt=attempt,
            replica=replica,
            stage="starting",
            progress=0.0,
            started_at=func.coalesce(Job.started_at, func.now()),
            heartbeat_at=func.now(),
            parked_at=None,
        )
        .returning(Job)
    )
    if job is not None and attempt == 1:
        await webhook_events.write(session, job, webhook_events.STARTED)
    return job


async def heartbeat(
    session: AsyncSession, job_id: str, attempt: int, progress: float, stage: str
) -> bool | None:
    """Keep the lease of a running attempt.

    Returns None if the attempt no longer owns the row, else whether a cancel was asked for.
    """
    row = (
        await session.execute(
            update(Job)
            .where(Job.id == job_id, Job.status == "running", Job.attempt == attempt)
            .values(heartbeat_at=func.now(), progress=progress, stage=stage)
            .returning(Job.cancel_requested_at)
        )
    ).one_or_none()
    return None if row is None else row[0] is not None


async def finish(
    session: AsyncSession,
    job_id: str,
    *,
    from_status: str,
    attempt: int,
    to_status: str,
    charged: int,
    outputs: list[dict[str, Any]],
    error: dict[str, Any] | None,
) -> Job | None:
    """Move a job to a final status, if it still is where the caller believes it to be.

    Only ``billing.settlement`` calls this: it holds the user's row and books the credits.
    """
    if to_status not in FINAL_STATUSES:
        raise ValueError(f"{to_status} is not a final status")
    return await session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.status == from_status, Job.attempt == attempt)
        .values(
            status=to_status,
            stage="done" if to_status == "succeeded" else to_status,
            progress=1.0 if to_status == "succeeded" else Job.progress,
            credits_held=0,
            credits_charged=charged,
            outputs=outputs,
            error=error,
            finished_at=func.now(),
        )
        .returning(Job)
    )


async def request_cancel(session: AsyncSession, job_id: str) -> None:
    """Ask the replica that runs the job to stop; harmless in any other state."""
    await session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == "running", Job.cancel_requested_at.is_(None))
        .values(cancel_requested_at=func.now())
    )


async def erase(session: AsyncSession, job_id: str, user_id: str) -> bool:
    """Empty a final job of all its owner put in and got out; what it cost stays.

    Returns whether this call did it: False for one that has not ended, or was erased before.
    """
    erased = await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.user_id == user_id,
            Job.status.in_(FINAL_STATUSES),
            Job.deleted_at.is_(None),
        )
        .values(
            input={},
            outputs=[],
            error=None,
            user_metadata={},
            webhook_url=None,
            deleted_at=func.now(),
        )
        .returning(Job.id)
    )
    return erased is not None


async def find_lost(session: AsyncSession, limit: int = 100) -> Sequence[Job]:
    """Running jobs whose replica has gone silent."""
    rows = await session.scalars(
        select(Job)
        .where(Job.status == "running", Job.heartbeat_at < func.now() - LEASE)
        .order_by(Job.heartbeat_at)
        .limit(limit)
    )
    return rows.all()


async def requeue_lost(
    session: AsyncSession, job_id: str, attempt: int, *, crashed: bool = False
) -> Job | None:
    """running -> queued after attempt ``attempt`` was lost, if its lease has really run out.

    ``crashed``: its replica's process is gone, and may be so because of this job.

    Not for a job whose owner has asked to cancel it: that one ends.
    """
    return await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "running",
            Job.attempt == attempt,
            Job.heartbeat_at < func.now() - LEASE,
            Job.losses + 1 < MAX_LOSSES,
            Job.cancel_requested_at.is_(None),
        )
        .values(
            status="queued",
            stage="queued",
            progress=0.0,
            losses=Job.losses + 1,
            crashes=Job.crashes + int(crashed),
        )
        .returning(Job)
    )


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


async def promote(session: AsyncSession, job_id: str) -> Job | None:
    """Mark a queued job as one to be served before others, once."""
    return await session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.status == "queued", Job.promoted_at.is_(None))
        .values(promoted_at=func.now())
        .returning(Job)
    )
