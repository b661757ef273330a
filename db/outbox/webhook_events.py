"""Events for webhooks: outbox rows with the kind of event and the id of the job, no content.

The body is built from the job's row when it is sent, so that nothing of an erased job is sent.
Rows are leased and sent outside of any transaction: if a replica of maintenance dies, its lease
expires and the event is sent again. ``attempts`` counts leases and fences off expired holders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from db.outbox import rows as outbox
from db.tables import Batch, Job, Outbox

STARTED = "job.started"
BATCH_FINISHED = "batch.finished"
# As the index on it says; a parameter in place of the name would not match it.
_OWNER = literal_column("(outbox.payload ->> 'user_id')", Text)
# Well above the time for sending and confirming.
LEASE = timedelta(seconds=60)


async def write(session: AsyncSession, job: Job, event_type: str) -> None:
    """Write an event in the transaction of the change; does nothing for a job without a webhook."""
    if job.webhook_url is not None:
        payload = {"job_id": job.id, "user_id": job.user_id, "type": event_type}
        await outbox.write(session, outbox.WEBHOOK, f"{job.id}:{event_type}", payload)


async def write_batch_finished(session: AsyncSession, batch: Batch) -> None:
    """Write the event in the transaction that ends the last job of the batch."""
    if batch.webhook_url is not None:
        payload = {"batch_id": batch.id, "user_id": batch.user_id, "type": BATCH_FINISHED}
        await outbox.write(session, outbox.WEBHOOK, f"{batch.id}:{BATCH_FINISHED}", payload)


def _lease() -> ReturningUpdate[Outbox]:
    due = (
        Outbox.topic == outbox.WEBHOOK,
        Outbox.done_at.is_(None),
        Outbox.available_at <= func.now(),
    )
    user = Outbox.payload["user_id"].astext
    under_way = bindparam("under_way", type_=JSONB)
    taken = func.coalesce(under_way[user].astext.cast(Integer), 0)
    turn = taken + func.row_number().over(partition_by=user, order_by=(Outbox.attempts, Outbox.id))
    ranked = select(Outbox.id, turn.label("turn")).where(*due).subquery()
    chosen = (
        select(ranked.c.id)
        .where(ranked.c.turn <= bindparam("each", type_=Integer))
        .order_by(ranked.c.turn, ranked.c.id)
        .limit(bindparam("most", type_=Integer))
    )
    ours = select(Outbox.id).where(Outbox.id.in_(chosen), *due).with_for_update(skip_locked=True)
    return (
        update(Outbox)
        .where(Outbox.id.in_(ours))
        .values(attempts=Outbox.attempts + 1, available_at=func.now() + LEASE)
        .returning(Outbox)
    )


_LEASE = _lease()


async def lease_due(
    session: AsyncSession, limit: int, each: int, under_way: Mapping[str, int]
) -> Sequence[Outbox]:
    """Lease up to ``limit`` rows that are due, first tries before further ones.

    No user has more than ``each`` at a time, with ``under_way`` (by user) counted, and each user
    gets a first row before any gets a second: a dead receiver of one user delays no other user.
    """
    given = {"under_way": dict(under_way), "each": each, "most": limit}
    return (await session.scalars(_LEASE, given)).all()


async def page(
    session: AsyncSession, user_id: str, status: str | None, after: int | None, limit: int
) -> Sequence[Outbox]:
    """Return up to ``limit`` events of the user, newest first, older than the row ``after``.

    ``status`` is ``pending``, ``delivered`` or ``failed``; None is any.
    """
    query = select(Outbox).where(Outbox.topic == outbox.WEBHOOK, _belongs_to(user_id))
    if status is not None:
        query = query.where(
            Outbox.done_at.is_(None)
            if status == "pending"
            else and_(
                Outbox.done_at.is_not(None),
                Outbox.error.is_(None) if status == "delivered" else Outbox.error.is_not(None),
            )
        )
    if after is not None:
        query = query.where(Outbox.id < after)
    return (await session.scalars(query.order_by(Outbox.id.desc()).limit(limit))).all()


async def delete_of_user(session: AsyncSession, user_id: str) -> None:
    await session.execute(
        delete(Outbox).where(Outbox.topic == outbox.WEBHOOK, _belongs_to(user_id))
    )


async def replay(session: AsyncSession, user_id: str, row_id: int) -> Outbox | None:
    """Have an event sent once more, now; one that is still pending is sent now, too.

    Returns None if the user has no such event.
    """
    return await session.scalar(
        update(Outbox)
        .where(Outbox.id == row_id, Outbox.topic == outbox.WEBHOOK, _belongs_to(user_id))
        .values(done_at=None, error=None, available_at=func.now())
        .returning(Outbox)
        .execution_options(populate_existing=True)
    )


async def confirm(session: AsyncSession, row: Outbox) -> None:
    """Mark the row as done: it was delivered, or its job was erased."""
    await session.execute(
        update(Outbox)
        .where(Outbox.id == row.id, Outbox.done_at.is_(None))
        .values(done_at=func.now(), error=None)
    )


async def postpone(session: AsyncSession, row: Outbox, delay: timedelta, error: str) -> None:
    """Make the row due after ``delay``, unless another replica holds the lease now."""
    await session.execute(
        update(Outbox)
        .where(Outbox.id == row.id, Outbox.done_at.is_(None), Outbox.attempts == row.attempts)
        .values(available_at=func.now() + delay, error=error)
    )


async def give_up(session: AsyncSession, row: Outbox, error: str) -> None:
    """Give the event up, unless another replica holds the lease now."""
    await session.execute(
        update(Outbox)
        .where(Outbox.id == row.id, Outbox.done_at.is_(None), Outbox.attempts == row.attempts)
        .values(done_at=func.now(), error=error)
    )


def _belongs_to(user_id: str) -> ColumnElement[bool]:
    return _OWNER.in_([user_id])
