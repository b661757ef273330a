"""What the entries of the ledger say, to hold against the columns of ``users``."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Entry


async def entries_sum(session: AsyncSession, account: str) -> int:
    """The sum of the entries of an account."""
    total = await session.scalar(
        select(func.coalesce(func.sum(Entry.amount), 0)).where(Entry.account == account)
    )
    return int(total or 0)
