"""Write a movement of credits: its transaction, its entries and the user's columns, in one
statement. ``billing.ledger`` says what is moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from billing import key_budgets
from db.ids import new_id

# One round trip, since every submit runs it. The CHECK constraints of the user's row refuse a
# balance below zero in any case; without the row no row is returned. Without a key nothing is
# counted against a budget.
_BOOK = text(f"""
    WITH booked AS (
        INSERT INTO transactions (id, user_id, kind, amount, natural_key, job_id, reason)
        VALUES (:id, :user_id, :kind, :amount, :natural_key, :job_id, :reason)
        ON CONFLICT (natural_key) DO NOTHING RETURNING id, user_id
    ), entered AS (
        INSERT INTO entries (transaction_id, account, amount)
        SELECT booked.id, moved.account, moved.amount
        FROM booked, unnest(CAST(:accounts AS text[]), CAST(:amounts AS bigint[]))
            AS moved (account, amount)
    ), counted AS (
        {key_budgets.spend_sql("api_keys, booked")}
    )
    UPDATE users
    SET balance = balance + :balance, held = held + :held, debt = debt + :debt
    FROM booked WHERE users.id = booked.user_id
    RETURNING booked.id, (SELECT spent FROM counted)
""").bindparams(key_budgets.AMOUNT)


@dataclass(frozen=True)
class Movement:
    """A movement of credits, for one user and one reason."""

    kind: str
    user_id: str
    amount: int
    natural_key: str
    reason: str
    job_id: str | None = None


@dataclass(frozen=True)
class Change:
    """What a movement adds to the columns of its user."""

    balance: int
    held: int
    debt: int


async def insert(
    session: AsyncSession,
    movement: Movement,
    entries: Mapping[str, int],
    change: Change,
    key_id: str | None = None,
) -> str | None:
    """Return the id of the transaction, or None if its natural key is taken.

    ``entries`` are credits by account. The amount counts against this month's budget of the API
    key ``key_id``.

    Raises:
        BudgetExceeded: the month would exceed the key's cap. The caller rolls back.
    """
    row = (
        await session.execute(
            _BOOK,
            {
                "id": new_id("txn"),
                **asdict(movement),
                "accounts": list(entries),
                "amounts": list(entries.values()),
                **asdict(change),
                "key_id": key_id,
            },
        )
    ).one_or_none()
    if row is None:
        return None
    transaction_id, spent = row
    if key_id is not None and spent is None:
        raise await key_budgets.exceeded(session, key_id, movement.amount)
    return str(transaction_id)
