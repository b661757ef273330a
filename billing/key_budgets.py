"""The budget of an API key: credits it may spend in a calendar month (UTC).

A job that is submitted with the key counts with its quote; when it ends, the unused part is
subtracted from the same month. All changes happen under the lock on the user's row.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime

from sqlalchemy import BigInteger, bindparam, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import ApiKey, Job, KeySpending


def spend_sql(tables: str = "api_keys") -> str:
    """Return the statement that counts ``:amount`` against this month's budget of ``:key_id``.

    It returns what is spent now, and no row if that would be more than the cap. ``tables`` are
    what it selects from; a further one has one row, or none if nothing is to be counted.
    """
    return f"""
        INSERT INTO key_spending (api_key_id, month, spent)
        SELECT api_keys.id, CAST(date_trunc('month', now() AT TIME ZONE 'UTC') AS date), :amount
        FROM {tables}
        WHERE api_keys.id = :key_id AND (monthly_cap IS NULL OR monthly_cap >= :amount)
        ON CONFLICT (api_key_id, month) DO UPDATE
        SET spent = key_spending.spent + excluded.spent
        WHERE key_spending.spent + excluded.spent <= coalesce(
            (SELECT monthly_cap FROM api_keys WHERE id = :key_id), 9223372036854775807)
        RETURNING spent
    """


AMOUNT = bindparam("amount", type_=BigInteger)
_SPEND = text(spend_sql()).bindparams(AMOUNT)


class BudgetExceeded(Exception):
    """The amount exceeds the key's budget of this month; nothing was changed."""

    def __init__(self, required: int, spent: int, cap: int) -> None:
        super().__init__(f"{required} credits are needed, {spent} of {cap} are spent")
        self.required, self.spent, self.cap = required, spent, cap


def month_of(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)


async def spend(session: AsyncSession, key_id: str, amount: int) -> None:
    """Count ``amount`` against the key's budget of the month in which the transaction began.

    Raises:
        BudgetExceeded: the month would exceed the key's cap.
    """
    if await session.scalar(_SPEND, {"key_id": key_id, "amount": amount}) is None:
        raise await exceeded(session, key_id, amount)


async def exceeded(session: AsyncSession, key_id: str, amount: int) -> BudgetExceeded:
    """Return the error of a key whose budget does not cover ``amount``."""
    most = await session.scalar(select(ApiKey.monthly_cap).where(ApiKey.id == key_id))
    before = await spent(session, [key_id], datetime.now(UTC))
    return BudgetExceeded(amount, before.get(key_id, 0), most or 0)


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
