"""Counters of a day (UTC), exact across processes: taken in the transaction of what they bound.

A transaction that is rolled back gives back what it took. The row stays locked until its end, so
that a transaction takes from a counter that everybody shares as late as it can.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import DailyCounter


async def take(
    session: AsyncSession, day: date, subject: str, amount: int, limit: int | None = None
) -> int | None:
    """Add ``amount`` to the counter; returns its new value, or None if that is above ``limit``."""
    if limit is not None and amount > limit:
        return None
    new = insert(DailyCounter).values(day=day, subject=subject, n=amount)
    total = DailyCounter.n + new.excluded.n
    return await session.scalar(
        new.on_conflict_do_update(
            index_elements=[DailyCounter.day, DailyCounter.subject],
            set_={"n": total},
            where=None if limit is None else total <= limit,
        ).returning(DailyCounter.n)
    )


async def read(session: AsyncSession, day: date, subject: str) -> int:
    """Return the counter; 0 if nothing was taken on that day."""
    query = select(DailyCounter.n).where(DailyCounter.day == day, DailyCounter.subject == subject)
    return await session.scalar(query) or 0


async def delete_before(session: AsyncSession, day: date) -> int:
    """Delete the counters of the days before; returns how many."""
    deleted = await session.scalars(
        delete(DailyCounter).where(DailyCounter.day < day).returning(DailyCounter.subject)
    )
    return len(deleted.all())
