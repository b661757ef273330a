"""Every change of a job's status, in the order of a job's life.

    queued -> running -> succeeded | failed | canceled
    running -> queued     the attempt was lost, or its replica drains
    queued <-> deferred   a queued job without a message (``deferred_at`` is set)

Each change is one guarded UPDATE, and its result says whether it moved the row. Nothing here books
credits (``billing.settlement`` does, in the same transaction), and callers pass in every limit
(``billing.job_policy``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import (
    Integer,
    Table,
    Text,
    Update,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.jobs import fair_queue
from db.jobs.deferred import IS_DEFERRED
from db.outbox import webhook_events
from db.session import Sessions
from db.tables import FINAL_STATUSES, Batch, Job


async def defer(session: AsyncSession, job_id: str, attempt: int) -> bool:
    """Set a queued job aside: its user runs as many jobs as allowed.

    Returns False if it was deferred before, or does not wait for that attempt.
    """
    deferred_id = await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "queued",
            Job.attempt == attempt - 1,
            Job.deferred_at.is_(None),
        )
        # Not now(), which is when the transaction began: it may have waited for the user's row.
        .values(deferred_at=func.clock_timestamp())
        .returning(Job.id)
    )
    return deferred_id is not None


async def resume_deferred(session: AsyncSession, job_ids: Collection[str]) -> set[str]:
    """Let deferred jobs wait in their queues again; returns the ids of those that were deferred."""
    rows = await session.scalars(
        update(Job)
        .where(Job.id.in_(job_ids), IS_DEFERRED)
        .values(deferred_at=None)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return set(rows)


JOBS = cast("Table", Job.__table__)
# Whoever cancels a batch pays for none of its jobs that had not begun.
_BATCH_IS_CANCELED = (
    exists()
    .where(Batch.id == JOBS.c.batch_id, Batch.cancel_requested_at.is_not(None))
    .correlate(JOBS)
)


# Built once, as are the other statements that every job runs: to build one takes longer than to run
# it. The table's own UPDATE, since the ORM's looks for what the session holds.
_CLAIMED = (
    update(JOBS)
    .where(
        JOBS.c.id == bindparam("job_id"),
        JOBS.c.status == "queued",
        JOBS.c.attempt == bindparam("its_attempt", type_=Integer) - 1,
        ~_BATCH_IS_CANCELED,
        or_(JOBS.c.cancel_at.is_(None), JOBS.c.cancel_at > func.now()),
    )
    .values(
        status="running",
        attempt=bindparam("its_attempt", type_=Integer),
        replica=bindparam("by_replica", type_=Text),
        stage="starting",
        progress=0.0,
        # As in ``defer``: the claim may have waited until another job of the user had ended.
        started_at=func.coalesce(JOBS.c.started_at, func.clock_timestamp()),
        heartbeat_at=func.clock_timestamp(),
        deferred_at=None,
    )
    .returning(*JOBS.c)
    .cte("claimed")
)
_CLAIM = (
    select(aliased(Job, _CLAIMED))
    .add_cte(fair_queue.advancing(_CLAIMED).cte("advanced"))
    .execution_options(populate_existing=True)
)


async def claim(
    session: AsyncSession, job_id: str, attempt: int, replica: str | None = None
) -> Job | None:
    """queued -> running as attempt number ``attempt``, which is the fencing token, on ``replica``.

    Returns None if the row does not wait for exactly this attempt: the message is out of date.
    """
    which = {"job_id": job_id, "its_attempt": attempt, "by_replica": replica}
    job = await session.scalar(_CLAIM, which)
    if job is not None and attempt == 1:
        await webhook_events.write(session, job, webhook_events.STARTED)
    return job


async def heartbeat(
    session: AsyncSession, job_id: str, attempt: int, progress: float, stage: str
) -> bool | None:
    """Renew the lease of a running attempt, and record its progress (0..1) and stage.

    Returns None if the attempt no longer owns the row, else whether its owner asked to cancel it.
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


@dataclass(frozen=True)
class Heartbeat:
    """What a running attempt says of itself: its progress (0..1) and stage."""

    job_id: str
    attempt: int
    progress: float
    stage: str


# Rows that somebody holds are left out: whoever waits for one would keep all others from living.
# Nor do two statements wait for each other's rows.
_HEARTBEATS = text("""
    WITH beats AS (
        SELECT id, attempt, progress, stage FROM unnest(
            CAST(:ids AS text[]), CAST(:attempts AS integer[]),
            CAST(:progress AS double precision[]), CAST(:stages AS text[])
        ) AS beat (id, attempt, progress, stage)
    ), owned AS (
        SELECT jobs.id, beats.progress, beats.stage
        FROM beats JOIN jobs ON jobs.id = beats.id AND jobs.attempt = beats.attempt
        WHERE jobs.status = 'running'
        FOR NO KEY UPDATE OF jobs SKIP LOCKED
    )
    UPDATE jobs SET heartbeat_at = now(), progress = owned.progress, stage = owned.stage
    FROM owned WHERE jobs.id = owned.id
    RETURNING jobs.id, jobs.attempt, jobs.cancel_requested_at IS NOT NULL
""")


async def heartbeat_all(sessions: Sessions, heartbeats: Sequence[Heartbeat]) -> list[bool | None]:
    """Do what ``heartbeat`` does for many attempts, in one statement of ``sessions``.

    None means as well that somebody holds the row: then ``heartbeat`` waits, and knows.
    """
    said = {
        "ids": [one.job_id for one in heartbeats],
        "attempts": [one.attempt for one in heartbeats],
        "progress": [one.progress for one in heartbeats],
        "stages": [one.stage for one in heartbeats],
    }
    async with sessions() as session:
        rows = await session.execute(_HEARTBEATS, said)
        canceled = {(job_id, attempt): asked for job_id, attempt, asked in rows}
    return [canceled.get((one.job_id, one.attempt)) for one in heartbeats]


async def requeue_lost(
    session: AsyncSession,
    job_id: str,
    attempt: int,
    *,
    lease: timedelta,
    max_losses: int,
    crashed: bool = False,
) -> Job | None:
    """running -> queued after attempt ``attempt`` was lost: its heartbeat is older than ``lease``.

    ``crashed`` counts the loss as a crash of the replica's process too.

    Returns None if the lease still holds, if this is loss number ``max_losses``, or if the owner
    asked to cancel the job: such a job ends.
    """
    return await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "running",
            Job.attempt == attempt,
            Job.heartbeat_at < func.now() - lease,
            Job.losses + 1 < max_losses,
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


async def expire_lease(session: AsyncSession, job_id: str, attempt: int, replica: str) -> bool:
    """End the lease of a running attempt, whose loss is the fault of ``replica``.

    Maintenance recovers the job at once. Returns False if the attempt no longer owns the row.
    """
    expired = await session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.status == "running", Job.attempt == attempt)
        .values(heartbeat_at=func.to_timestamp(0), replica=replica)
        .returning(Job.id)
    )
    return expired is not None


async def requeue_drained(
    session: AsyncSession, job_id: str, attempt: int, *, max_requeues: int
) -> Job | None:
    """running -> queued by the draining replica that holds attempt ``attempt``.

    Returns None if drains have queued the job again ``max_requeues`` times already, if its owner
    asked to cancel it (such a job ends), or if the attempt no longer owns the row.
    """
    return await session.scalar(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == "running",
            Job.attempt == attempt,
            Job.attempt - 1 - Job.losses < max_requeues,
            Job.cancel_requested_at.is_(None),
        )
        .values(status="queued", stage="queued", progress=0.0)
        .returning(Job)
    )


async def request_cancel(session: AsyncSession, job_id: str) -> bool:
    """Ask the replica that runs the job to stop; a job in any other state stays as it is.

    Returns whether this call was the first to ask.
    """
    asked = await session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.status == "running", Job.cancel_requested_at.is_(None))
        .values(cancel_requested_at=func.now())
        .returning(Job.id)
    )
    return asked is not None


_FINISH = (
    select(Job)
    .from_statement(
        update(JOBS)
        .where(
            JOBS.c.id == bindparam("job_id"),
            JOBS.c.status == bindparam("from_status"),
            JOBS.c.attempt == bindparam("its_attempt"),
        )
        .values(
            status=bindparam("to_status"),
            stage=bindparam("to_stage"),
            progress=case((bindparam("to_status") == "succeeded", 1.0), else_=JOBS.c.progress),
            credits_held=0,
            credits_charged=bindparam("charged"),
            outputs=bindparam("its_outputs", type_=JSONB),
            error=bindparam("its_error", type_=JSONB),
            result_key=bindparam("its_result_key"),
            finished_at=func.now(),
        )
        .returning(*JOBS.c)
    )
    .execution_options(populate_existing=True)
)


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
    result_key: str | None = None,
) -> Job | None:
    """queued or running -> ``to_status``, which is final, if status and attempt are as expected.

    Only ``billing.settlement`` calls this: it holds the user's row and books the credits.

    Raises:
        ValueError: ``to_status`` is not final.
    """
    if to_status not in FINAL_STATUSES:
        raise ValueError(f"{to_status} is not a final status")
    ending = {
        "job_id": job_id,
        "from_status": from_status,
        "its_attempt": attempt,
        "to_status": to_status,
        "to_stage": "done" if to_status == "succeeded" else to_status,
        "charged": charged,
        "its_outputs": outputs,
        "its_error": error,
        "its_result_key": result_key,
    }
    ended: Job | None = await session.scalar(_FINISH, ending)
    return ended


async def erase(session: AsyncSession, job_id: str, user_id: str) -> bool:
    """Erase the input, outputs and metadata of a final job; the row and its costs stay.

    Returns False if the job has not ended, or was erased before.
    """
    erased = await session.scalar(_erasing(user_id).where(Job.id == job_id).returning(Job.id))
    return erased is not None


async def erase_of_user(session: AsyncSession, user_id: str) -> None:
    """Do the same to all final jobs of a user."""
    await session.execute(
        _erasing(user_id).execution_options(synchronize_session=False),
    )


async def erase_all(session: AsyncSession, user_id: str, job_ids: Collection[str]) -> None:
    """Do the same to these of a user."""
    erasing = _erasing(user_id).where(Job.id.in_(job_ids))
    await session.execute(erasing.execution_options(synchronize_session=False))


def _erasing(user_id: str) -> Update:
    return (
        update(Job)
        .where(Job.user_id == user_id, Job.status.in_(FINAL_STATUSES), Job.deleted_at.is_(None))
        .values(
            input={},
            outputs=[],
            error=None,
            user_metadata={},
            webhook_url=None,
            result_key=None,
            deleted_at=func.now(),
        )
    )
