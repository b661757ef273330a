"""The ledger: double-entry, append-only, integer credits.

Each movement is one transaction row with two entries that sum to zero, and moves the guarded
columns ``users.balance`` and ``users.held`` that the entries must equal. A movement is applied
once per natural key: a second call with the same key changes nothing and returns False.

=========  ==========================  ==========================
movement   from                        to
=========  ==========================  ==========================
grant      house:grants                user:<id>:available
hold       user:<id>:available         user:<id>:held
capture    user:<id>:held              house:revenue
release    user:<id>:held              user:<id>:available
=========  ==========================  ==========================

Purchase, refund, claw-back and expiry arrive with payments.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import Entry, Transaction, User


class NotEnoughCredits(Exception):
    """The balance does not cover what was asked for; nothing was changed."""

    def __init__(self, required: int, balance: int) -> None:
        super().__init__(f"{required} credits are needed, {balance} are there")
        self.required = required
        self.balance = balance


@dataclass(frozen=True)
class Movement:
    """One row of the table above, for one user and one reason."""

    kind: str
    user_id: str
    amount: int
    natural_key: str
    source: str
    target: str
    reason: str
    job_id: str | None = None


def available(user_id: str) -> str:
    return f"user:{user_id}:available"


def held(user_id: str) -> str:
    return f"user:{user_id}:held"


async def lock_user(session: AsyncSession, user_id: str) -> None:
    """Take the user's row. Whoever touches money does this first, then the job: no deadlock.

    FOR NO KEY UPDATE: rows that merely refer to the user (a job being inserted) need not wait.
    """
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


async def grant(
    session: AsyncSession, user_id: str, amount: int, natural_key: str, reason: str
) -> bool:
    """Give credits to a user."""
    await lock_user(session, user_id)
    movement = Movement(
        "grant", user_id, amount, natural_key, "house:grants", available(user_id), reason
    )
    return await _book(session, movement, balance=amount)


async def hold(session: AsyncSession, user_id: str, amount: int, job_id: str, reason: str) -> bool:
    """Set credits aside for a job.

    Raises:
        NotEnoughCredits: the balance is smaller than ``amount``.
    """
    await lock_user(session, user_id)
    balance = await session.scalar(select(User.balance).where(User.id == user_id))
    if (balance or 0) < amount:
        raise NotEnoughCredits(required=amount, balance=balance or 0)
    movement = Movement(
        "hold", user_id, amount, f"hold:{job_id}", available(user_id), held(user_id), reason, job_id
    )
    return await _book(session, movement, balance=-amount, held=amount)


async def capture(
    session: AsyncSession, user_id: str, amount: int, job_id: str, reason: str
) -> bool:
    """Charge for a job out of what it holds."""
    movement = Movement(
        "capture", user_id, amount, f"capture:{job_id}", held(user_id), "house:revenue", reason,
        job_id,
    )  # fmt: skip
    return await _book(session, movement, held=-amount)


async def release(
    session: AsyncSession, user_id: str, amount: int, job_id: str, reason: str
) -> bool:
    """Give back what a job held and did not use."""
    movement = Movement(
        "release", user_id, amount, f"release:{job_id}", held(user_id), available(user_id), reason,
        job_id,
    )  # fmt: skip
    return await _book(session, movement, balance=amount, held=-amount)


async def _book(
    session: AsyncSession, movement: Movement, *, balance: int = 0, held: int = 0
) -> bool:
    if movement.amount < 0:
        raise ValueError("a movement is never negative")
    if movement.amount == 0:
        return False
    transaction_id = await session.scalar(
        postgresql.insert(Transaction)
        .values(
            id=new_id("txn"),
            user_id=movement.user_id,
            kind=movement.kind,
            amount=movement.amount,
            natural_key=movement.natural_key,
            job_id=movement.job_id,
            reason=movement.reason,
        )
        .on_conflict_do_nothing(index_elements=[Transaction.natural_key])
        .returning(Transaction.id)
    )
    if transaction_id is None:
        return False
    await session.execute(
        insert(Entry),
        [
            {
                "transaction_id": transaction_id,
                "account": movement.source,
                "amount": -movement.amount,
            },
            {
                "transaction_id": transaction_id,
                "account": movement.target,
                "amount": movement.amount,
            },
        ],
    )
    # The CHECK constraints of the row refuse a balance below zero whatever happened above.
    await session.execute(
        update(User)
        .where(User.id == movement.user_id)
        .values(balance=User.balance + balance, held=User.held + held)
    )
    return True


async def entries_sum(session: AsyncSession, account: str) -> int:
    """What the entries of an account come to; the columns of ``users`` must say the same."""
    total = await session.scalar(
        select(func.coalesce(func.sum(Entry.amount), 0)).where(Entry.account == account)
    )
    return int(total or 0)
