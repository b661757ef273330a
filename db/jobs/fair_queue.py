"""The order of a queue: self-clocked fair queueing (Golestani, 1994).

A *flow* is what one user has in one queue at one priority. A job's tag is the virtual time of its
queue, or the tag of the flow's last waiting job if that is later, plus its cost
(``billing.fair_share``). The lowest tag is served first. The virtual time of a queue is the highest
tag of a job that was started: it stands still while nothing starts, and whoever was away begins at
the present, with neither credit nor debt.

All of it is in Postgres: tag and cost on the job's row, and the highest tag that each user has
started in ``queue_clocks``, a row a user, so that claims do not wait for each other. Every function
that writes runs while its caller holds the user's row. A submit reads the clock without a lock: a
job that is started at the same moment may count or not.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Job, QueueClock


def next_tag(virtual_time: int, last_tag: int, cost: int) -> int:
    """Return the tag of a job of ``cost`` ticks whose flow's last waiting job has ``last_tag``.

    Whoever has none waiting is a tick early, and so comes before an equal job of a user who has.
    """
    return last_tag + cost if last_tag > virtual_time else virtual_time + cost - 1


async def tag(session: AsyncSession, job: Job, cost: int) -> None:
    """Set the tag of a new job, behind those that wait in its flow.

    A job that was canceled or expired before it started counts no more.
    """
    now, last_tag = await _read_clock(session, job)
    job.queue_tag, job.queue_cost = next_tag(now, last_tag, cost), cost


async def advance(session: AsyncSession, job: Job) -> None:
    """Advance the clock of the queue: ``job`` was started for the first time."""
    started = insert(QueueClock).values(
        generator=job.generator, user_id=job.user_id, tag=job.queue_tag
    )
    await session.execute(
        started.on_conflict_do_update(
            index_elements=[QueueClock.generator, QueueClock.user_id],
            set_={"tag": func.greatest(QueueClock.tag, started.excluded.tag)},
        )
    )


async def catch_up(session: AsyncSession, jobs: Sequence[Job]) -> None:
    """Bring the tags of resumed jobs of one flow, oldest first, up to the present.

    They were set aside because their user runs as many jobs as allowed. That time earns no credit:
    with their old tags they would go before everybody else until their flow had made up for it. A
    job that was started before keeps its tag.
    """
    new = [job for job in jobs if job.attempt == 0]
    if not new:
        return
    now, last_tag = await _read_clock(
        session, new[0], Job.deferred_at.is_(None), Job.id < new[0].id
    )
    for job in new:
        job.queue_tag = max(job.queue_tag, next_tag(now, last_tag, job.queue_cost))
        last_tag = job.queue_tag


async def _read_clock(
    session: AsyncSession, job: Job, *which: ColumnElement[bool]
) -> tuple[int, int]:
    """The virtual time of the job's queue, and the highest tag that waits in its flow (0: none).

    ``which`` restricts the waiting jobs.
    """
    virtual_time = select(func.max(QueueClock.tag)).where(QueueClock.generator == job.generator)
    last_tag = select(func.max(Job.queue_tag)).where(
        Job.user_id == job.user_id,
        Job.generator == job.generator,
        Job.priority == job.priority,
        Job.status == "queued",
        *which,
    )
    columns = select(virtual_time.scalar_subquery(), last_tag.scalar_subquery())
    now, last = (await session.execute(columns)).one()
    return now or 0, last or 0
