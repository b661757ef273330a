"""The job rows: every change of status is one guarded UPDATE that says whether it moved the row.

Nothing here touches money; ``billing.settlement`` joins the two in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.jobs.deferred import _DEFERRED
from db.outbox import webhook_events
from db.tables import FINAL_STATUSES, Job

MAX_LOSSES = 3  # of attempts; one that its replica handed back is none (db.jobs.transitions)


# A job that ended its replica's process once is tried again alone; after the second time it is to
# blame, and not whoever ran beside it.
MAX_CRASHES = 2


LEASE = timedelta(seconds=20)  # a running row whose heartbeat is older has lost its replica


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


async def promote(session: AsyncSession, job_id: str) -> Job | None:
    """Mark a queued job as one to be served before others, once."""
    return await session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.status == "queued", Job.promoted_at.is_(None))
        .values(promoted_at=func.now())
        .returning(Job)
    )


async def defer(session: AsyncSession, job_id: str, attempt: int) -> bool:
    """Set a queued job aside; False if it was, or no longer waits for that attempt."""
    parked = await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "queued",
            Job.attempt == attempt - 1,
            Job.parked_at.is_(None),
        )
        # Not now(), which is when the transaction began: it may have waited for the user's row.
        .values(parked_at=func.clock_timestamp())
        .returning(Job.id)
    )
    return parked is not None


async def resume_deferred(session: AsyncSession, job_ids: Collection[str]) -> set[str]:
    """Let them wait as others do; returns those that were parked till now."""
    rows = await session.scalars(
        update(Job)
        .where(Job.id.in_(job_ids), _DEFERRED)
        .values(parked_at=None)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return set(rows)


MAX_DRAIN_REQUEUES = 20


def can_requeue_drained(job: Job) -> bool:
    """Whether a running job was handed back less often than it may be."""
    return job.attempt - 1 - job.losses < MAX_DRAIN_REQUEUES


async def requeue_drained(session: AsyncSession, job_id: str, attempt: int) -> Job | None:
    """running -> queued by the replica that holds attempt ``attempt``, whatever its lease.

    Not for a job whose owner has asked to cancel it: that one ends. Nor for one that was handed
    back too often: its replica runs it to the end, or is lost.
    """
    return await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "running",
            Job.attempt == attempt,
            Job.attempt - 1 - Job.losses < MAX_DRAIN_REQUEUES,
            Job.cancel_requested_at.is_(None),
        )
        .values(status="queued", stage="queued", progress=0.0)
        .returning(Job)
    )
