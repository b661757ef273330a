"""Shared by the tests of limits: claims as replicas make them, ends, and deferred jobs."""

from __future__ import annotations

import dataclasses
from collections import Counter

from sqlalchemy import select, update

from billing import concurrency
from billing.settlement import Settlement, settle
from db.jobs import queries
from db.session import Sessions
from db.tables import FINAL_STATUSES, Job, User
from tests.support.jobs import submit
from tests.support.scribe import SPEC

OTHER = dataclasses.replace(SPEC, name="copyist")


async def limit(sessions: Sessions, user_id: str, running: int | None) -> None:
    """As many of the user's jobs run at a time; nobody is told."""
    async with sessions.begin() as session:
        await session.execute(
            update(User).where(User.id == user_id).values(max_running_jobs=running)
        )


async def take(sessions: Sessions, job_id: str, attempt: int = 1) -> bool:
    """Whether a replica that has the message may run the job."""
    async with sessions.begin() as session:
        return await concurrency.claim_or_defer(session, job_id, attempt) is not None


async def end(sessions: Sessions, job_id: str, status: str = "succeeded") -> bool:
    """End the job as its replica, or a cancel, would; whether this call did it."""
    async with sessions.begin() as session:
        job = await queries.get(session, job_id)
        assert job is not None
        if job.status in FINAL_STATUSES:
            return False
        share = 1.0 if status == "succeeded" else 0.0
        return await settle(session, job, Settlement(status, share)) is not None


async def deferred(sessions: Sessions, user_id: str) -> list[str]:
    """The user's parked jobs, oldest first."""
    query = select(Job.id).where(
        Job.user_id == user_id, Job.status == "queued", Job.deferred_at.is_not(None)
    )
    async with sessions() as session:
        return list(await session.scalars(query.order_by(Job.id)))


async def by_status(sessions: Sessions, user_id: str) -> Counter[str]:
    """How many jobs the user has of each status; parked ones count as such."""
    async with sessions() as session:
        rows = await session.scalars(select(Job).where(Job.user_id == user_id))
        return Counter(
            "parked" if row.status == "queued" and row.deferred_at else row.status for row in rows
        )


async def full(sessions: Sessions, user_id: str, running: int, waiting: int) -> list[str]:
    """Jobs of a user who runs as many as may: first those, then the parked ones."""
    await limit(sessions, user_id, running)
    made = [await submit(sessions, SPEC, user_id, text=f"{n}") for n in range(running + waiting)]
    taken = [await take(sessions, job_id) for job_id in made]
    assert taken == [True] * running + [False] * waiting
    return made
