"""Results that can be used again: jobs that succeeded, by ``deployments.result_key``."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import ARRAY, Text, any_, exists, func, insert, literal, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import File, Job, QueueState


async def find(
    session: AsyncSession, user_id: str, keys: Collection[str], within: timedelta
) -> dict[str, Job]:
    """Return, by key, the user's last job with this result that ended ``within`` that time.

    Jobs of generators that accept none for now are left out.
    """
    jobs = await session.scalars(
        select(Job)
        .ext(distinct_on(Job.result_key))
        .where(
            Job.user_id == user_id,
            Job.result_key == any_(literal(list(keys), ARRAY(Text))),
            Job.finished_at > func.now() - within,
            ~exists().where(QueueState.generator == Job.generator, QueueState.draining),
        )
        .order_by(Job.result_key, Job.finished_at.desc())
    )
    return {job.result_key: job for job in jobs if job.result_key is not None}


async def lock(session: AsyncSession, job_ids: Collection[str], user_id: str) -> set[str]:
    """Keep the jobs from being erased until the transaction ends; returns those that are there."""
    found = await session.scalars(
        select(Job.id)
        .where(Job.id.in_(job_ids), Job.user_id == user_id, Job.result_key.is_not(None))
        .order_by(Job.id)
        .with_for_update(read=True)
    )
    return set(found)


async def add_output_rows(session: AsyncSession, jobs: Collection[Job]) -> None:
    """Insert the rows of the files that these jobs have as outputs."""
    rows = [output_row(job, output) for job in jobs for output in job.outputs]
    if rows:
        await session.execute(insert(File), rows)


def output_row(job: Job, output: dict[str, Any]) -> dict[str, Any]:
    """The values of the row of an output's file."""
    copied = ("object_key", "name", "content_type", "bytes", "sha256")
    return {
        "id": new_id("file"),
        "user_id": job.user_id,
        "job_id": job.id,
        "purpose": "output",
        **{name: output[name] for name in copied},
    }
