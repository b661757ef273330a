"""The budget of an API key: credits it may spend in a calendar month (UTC).

A job that is submitted with the key counts with its quote; when it ends, the unused part is
subtracted from the same month. All changes happen under the lock on the user's row.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime

from sqlalchemy import BigInteger, Date, bindparam, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import ApiKey, Job, KeySpending

# Hand-written SQL, since every submit runs it.
_SPEND = text("""
    INSERT INTO key_spending (api_key_id, month, spent)
    SELECT id, :month, :amount FROM api_keys
    WHERE id = :key_id AND (monthly_cap IS NULL OR monthly_cap >= :amount)
    ON CONFLICT (api_key_id, month) DO UPDATE
    SET spent = key_spending.spent + excluded.spent
    WHERE key_spending.spent + excluded.spent <= coalesce(
        (SELECT monthly_cap FROM api_keys WHERE id = :key_id), 9223372036854775807)
    RETURNING spent
""").bindparams(bindparam("month", type_=Date), bindparam("amount", type_=BigInteger))


class BudgetExceeded(Exception):
    """The amount exceeds the key's budget of this month; nothing was changed."""

    def __init__(self, required: int, spent: int, cap: int) -> None:
        super().__init__(f"{required} credits are needed, {spent} of {cap} are spent")
        self.required, self.spent, self.cap = required, spent, cap


def month_of(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)


async def spend(session: AsyncSession, key_id: str, amount: int, at: datetime) -> None:
    """Count ``amount`` against the key's budget of the month.

    Raises:
        BudgetExceeded: the month would exceed the key's cap.
    """
    parameters = {"key_id": key_id, "month": month_of(at), "amount": amount}
    if await session.scalar(_SPEND, parameters) is None:
        most = await session.scalar(select(ApiKey.monthly_cap).where(ApiKey.id == key_id))
        before = await spent(session, [key_id], at)
        raise BudgetExceeded(amount, before.get(key_id, 0), most or 0)


async def refund_cap(session: AsyncSession, job: Job, amount: int) -> None:
    """Subtract ``amount`` from the month: a job ended and cost that much less than was counted."""
    if job.api_key_id is not None and amount:
        await session.execute(
            update(KeySpending)
            .where(
                KeySpending.api_key_id == job.api_key_id,
                KeySpending.month == month_of(job.created_at),
            )
            .values(spent=KeySpending.spent - amount)
        )


async def spent(session: AsyncSession, key_ids: Collection[str], at: datetime) -> dict[str, int]:
    """Return the credits that each key spent in the month; keys without any are left out."""
    rows = await session.execute(
        select(KeySpending.api_key_id, KeySpending.spent).where(
            KeySpending.api_key_id.in_(key_ids), KeySpending.month == month_of(at)
        )
    )
    return {row.api_key_id: row.spent for row in rows}
