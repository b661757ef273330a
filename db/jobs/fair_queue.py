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

from sqlalchemy import FromClause, bindparam, collate, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.jobs.states import IS_QUEUED
from db.tables import Job, QueueClock

# The order of a flow's jobs: ids are ULIDs. Bytewise, so that the planner takes the indexes of
# flows: by plain ids it might walk the jobs of all time or of all users, until the first of these.
BY_AGE = collate(Job.id, "C")


def next_tag(virtual_time: int, last_tag: int, cost: int) -> int:
    """Return the tag of a job of ``cost`` ticks whose flow's last waiting job has ``last_tag``.

    Whoever has none waiting is a tick early, and so comes before an equal job of a user who has.
    """
    return last_tag + cost if last_tag > virtual_time else virtual_time + cost - 1


async def tag(session: AsyncSession, jobs: Sequence[Job], costs: Sequence[int]) -> None:
    """Set the tags of new jobs of one flow, one after the other behind those that wait in it.

    A job that was canceled or expired before it started counts no more.
    """
    tag_at((await session.execute(_READ_CLOCK, flow_of(jobs[0]))).one(), jobs, costs)


def flow_of(job: Job) -> dict[str, str]:
    """Return the parameters of ``CLOCK``."""
    return {"user_id": job.user_id, "generator": job.generator, "priority": job.priority}


_VIRTUAL_TIME = (
    select(func.max(QueueClock.tag))
    .where(QueueClock.generator == bindparam("generator"))
    .scalar_subquery()
)
_WAITS_IN_FLOW = (
    Job.user_id == bindparam("user_id"),
    Job.generator == bindparam("generator"),
    Job.priority == bindparam("priority"),
    IS_QUEUED,
)
# What is read to tag a job, as columns of a query: the virtual time of its queue, and the tag of
# the last job that waits in its flow. Built once, since every submit reads it.
CLOCK = (
    _VIRTUAL_TIME,
    select(func.max(Job.queue_tag)).where(*_WAITS_IN_FLOW).scalar_subquery(),
)
_READ_CLOCK = select(*CLOCK)


def tag_at(clock: Sequence[int | None], jobs: Sequence[Job], costs: Sequence[int]) -> None:
    """As ``tag``, at a ``clock`` that was read."""
    now, last_tag = (value or 0 for value in clock)
    for job, cost in zip(jobs, costs, strict=True):
        job.queue_tag, job.queue_cost = next_tag(now, last_tag, cost), cost
        last_tag = job.queue_tag


def advancing(started: FromClause) -> Insert:
    """Return the statement that advances the clocks of the queues of jobs (rows of the table) that
    were started for the first time; it leaves out those that were started before."""
    columns = started.c
    inserted = insert(QueueClock).from_select(
        ["generator", "user_id", "tag"],
        select(columns.generator, columns.user_id, columns.queue_tag).where(columns.attempt == 1),
    )
    return inserted.on_conflict_do_update(
        index_elements=[QueueClock.generator, QueueClock.user_id],
        set_={"tag": func.greatest(QueueClock.tag, inserted.excluded.tag)},
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
    # A subquery, or the planner would look for the highest tag from the end of the flow.
    older = (
        select(Job.queue_tag)
        .where(*_WAITS_IN_FLOW, Job.deferred_at.is_(None), new[0].id > BY_AGE)
        .order_by(BY_AGE)
        .subquery()
    )
    last = select(func.max(older.c.queue_tag)).scalar_subquery()
    read = (await session.execute(select(_VIRTUAL_TIME, last), flow_of(new[0]))).one()
    now, last_tag = (value or 0 for value in read)
    for job in new:
        job.queue_tag = max(job.queue_tag, next_tag(now, last_tag, job.queue_cost))
        last_tag = job.queue_tag
