"""Read how far jobs are, without the rest of their rows: an input may be a megabyte."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Job

# Written out: of a parameter, Postgres could not tell that the indexes of waiting jobs are for it,
# and would plan the statement anew each time.
IS_QUEUED = Job.status == literal_column("'queued'")
_COLUMNS = (Job.status, Job.attempt, Job.progress, Job.stage)


@dataclass(frozen=True, slots=True)
class JobState:
    """What changes while a job runs; ``progress`` is a fraction (0..1)."""

    status: str
    attempt: int
    progress: float
    stage: str


async def read_states(session: AsyncSession, job_ids: Collection[str]) -> dict[str, JobState]:
    """Return the states of those of the jobs that there are, by id."""
    rows = await session.execute(select(Job.id, *_COLUMNS).where(Job.id.in_(job_ids)))
    return {
        job_id: JobState(status, attempt, progress, stage)
        for job_id, status, attempt, progress, stage in rows
    }


async def read_owned_state(session: AsyncSession, job_id: str, user_id: str) -> JobState | None:
    """Return the state of the job, if it belongs to this user and was not deleted; else None."""
    found = await session.execute(
        select(*_COLUMNS).where(Job.id == job_id, Job.user_id == user_id, Job.deleted_at.is_(None))
    )
    row = found.one_or_none()
    return None if row is None else JobState(*row)
