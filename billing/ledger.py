"""The ledger: double-entry, append-only, integer credits.

Each movement is one transaction row with entries that sum to zero, and moves the guarded columns
``users.balance``, ``held`` and ``debt`` that the entries must equal. A movement is applied once per
natural key: a second call with the same key changes nothing and returns False.

=========  ==========================  ==========================
movement   from                        to
=========  ==========================  ==========================
grant      house:grants                user:<id>:available
purchase   house:purchases             user:<id>:available
hold       user:<id>:available         user:<id>:held
capture    user:<id>:held              house:revenue
release    user:<id>:held              user:<id>:available
refund     user:<id>:available         house:purchases
claw_back  user:<id>:available         house:purchases
expire     user:<id>:available         house:expired
=========  ==========================  ==========================

A refund (by us) or a claw-back (by the bank) may exceed the balance. The rest is booked on
``user:<id>:debt``, and credits that arrive for the user pay the debt first: a user with debt has
no balance.

Every function that depends on the balance locks the user's row first, so READ COMMITTED is enough;
under REPEATABLE READ and SERIALIZABLE run it with ``db.session.transact``, which retries
serialization failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import balance_alerts, booking, lots
from billing.booking import Change, Movement
from billing.credit_counts import count_credits
from db.ids import new_id
from db.tables import CreditLot, Entry, Transaction, User

GRANTS, PURCHASES = "house:grants", "house:purchases"
REVENUE, EXPIRED = "house:revenue", "house:expired"


class NotEnoughCredits(Exception):
    """The balance does not cover the amount; nothing was changed."""

    def __init__(self, required: int, balance: int) -> None:
        super().__init__(f"{required} credits are needed, {balance} are there")
        self.required = required
        self.balance = balance


class LedgerConflict(Exception):
    """The natural key belongs to another movement: another amount, or another user."""

    def __init__(self, natural_key: str) -> None:
        super().__init__(f"{natural_key} is in the ledger with other contents")


@dataclass(frozen=True)
class AccountBalance:
    """The credits of a user: the balance to spend, what is held for jobs, debt, below which balance
    the user gets an alert, and whether some may be of lots that expire."""

    balance: int
    held: int
    debt: int
    low_balance: int | None = None
    deleted: bool = False
    has_lots: bool = True


def available(user_id: str) -> str:
    return f"user:{user_id}:available"


def held(user_id: str) -> str:
    return f"user:{user_id}:held"


def debt(user_id: str) -> str:
    return f"user:{user_id}:debt"


# Built once: every submit, claim and settlement runs it.
_LOCKED = (
    select(User.balance, User.held, User.debt, User.low_balance, User.deleted_at.is_not(None))
    .where(User.id == bindparam("user_id"))
    .with_for_update(key_share=True)
)


async def lock_user(session: AsyncSession, user_id: str) -> AccountBalance:
    """Lock the user's row. All code that moves credits locks it first and the job after it, so that
    there is no deadlock.

    FOR NO KEY UPDATE: rows that only refer to the user (a job that is inserted) need not wait. For
    a user that does not exist the balance is zero.
    """
    row = await session.execute(_LOCKED, {"user_id": user_id})
    columns = row.one_or_none()
    return AccountBalance(*columns) if columns else AccountBalance(0, 0, 0)


async def grant(
    session: AsyncSession,
    user_id: str,
    amount: int,
    natural_key: str,
    reason: str,
    expires_at: datetime | None = None,
) -> bool:
    """Grant credits to a user; credits that expire are spent first.

    Raises:
        LedgerConflict: the natural key belongs to another movement.
    """
    account = await lock_user(session, user_id)
    movement = Movement("grant", user_id, amount, natural_key, reason)
    booked = await _credit(session, movement, account, GRANTS)
    added = amount - min(amount, account.debt)
    if booked is not None and expires_at is not None and added:
        await lots.add(session, booked, user_id, added, expires_at)
    return booked is not None


async def purchase(
    session: AsyncSession, user_id: str, amount: int, natural_key: str, reason: str
) -> bool:
    """Add credits that the user paid for.

    Raises:
        LedgerConflict: the natural key belongs to another movement.
    """
    account = await lock_user(session, user_id)
    movement = Movement("purchase", user_id, amount, natural_key, reason)
    return await _credit(session, movement, account, PURCHASES) is not None


async def hold(
    session: AsyncSession,
    user_id: str,
    amount: int,
    job_id: str,
    reason: str,
    account: AccountBalance | None = None,
    key_id: str | None = None,
) -> bool:
    """Set credits aside for a job, within this month's budget of the API key ``key_id``.

    ``account`` is the result of ``lock_user`` in this transaction, if no credits moved since.

    Raises:
        NotEnoughCredits: the balance is smaller than ``amount``, or the user has debt.
        BudgetExceeded: the month would exceed the key's cap. The caller rolls back.
    """
    account, open_lots = await _spendable(session, user_id, account)
    movement = _hold_of(user_id, amount, job_id, reason)
    if account.balance < amount or account.debt:
        if await _is_booked(session, movement):
            return False
        raise NotEnoughCredits(required=amount, balance=account.balance)
    entries = {available(user_id): -amount, held(user_id): amount}
    booked = await _book(session, movement, entries, key_id)
    if booked is not None:
        await lots.spend(session, open_lots, amount, job_id)
        await _alert_if_low(session, user_id, account, amount, booked)
    return booked is not None


async def hold_all(
    session: AsyncSession, user_id: str, holds: Sequence[tuple[str, int, str]]
) -> None:
    """Set credits aside for new jobs without a hold, by id, amount and reason: all, or none.

    Raises:
        NotEnoughCredits: the balance is smaller than the sum, or the user has debt.
    """
    account, open_lots = await _spendable(session, user_id, None)
    total = sum(amount for _, amount, _ in holds)
    if account.balance < total or account.debt:
        raise NotEnoughCredits(required=total, balance=account.balance)
    movements = [
        (new_id("txn"), _hold_of(user_id, amount, job_id, reason))
        for job_id, amount, reason in holds
        if amount > 0
    ]
    if not movements:
        return
    rows = [{"id": txn, **asdict(movement)} for txn, movement in movements]
    await session.execute(insert(Transaction), rows)
    entries = [
        {"transaction_id": txn, "account": of, "amount": sign * movement.amount}
        for txn, movement in movements
        for of, sign in ((available(user_id), -1), (held(user_id), 1))
    ]
    await session.execute(insert(Entry), entries)
    await session.execute(
        update(User)
        .where(User.id == user_id)
        .values(balance=User.balance - total, held=User.held + total)
    )
    for _, movement in movements:
        assert movement.job_id is not None
        lots.use(session, open_lots, movement.amount, movement.job_id)
    await session.flush()
    count_credits(session, "hold", total)
    await _alert_if_low(session, user_id, account, total, movements[-1][0])


async def capture(
    session: AsyncSession, user_id: str, amount: int, job_id: str, reason: str
) -> bool:
    """Charge a job out of its held credits. Only the booking locks the user's row."""
    movement = Movement("capture", user_id, amount, f"capture:{job_id}", reason, job_id)
    entries = {held(user_id): -amount, REVENUE: amount}
    return await _book(session, movement, entries) is not None


async def release(
    session: AsyncSession, user_id: str, amount: int, job_id: str, reason: str
) -> bool:
    """Return held credits that a job did not use. They pay debt first."""
    if amount == 0:
        return False
    account = await lock_user(session, user_id)
    movement = Movement("release", user_id, amount, f"release:{job_id}", reason, job_id)
    booked = await _credit(session, movement, account, held(user_id))
    if booked is not None and await lots.has_uses(session, job_id):
        all_of_it = await session.scalar(
            select(Transaction.amount).where(Transaction.natural_key == f"hold:{job_id}")
        )
        spent = (all_of_it or amount) - amount
        await lots.return_credits(session, job_id, spent, amount - min(amount, account.debt))
    return booked is not None


async def refund(
    session: AsyncSession, user_id: str, amount: int, natural_key: str, reason: str
) -> bool:
    """Take credits whose payment was refunded. Credits that are missing become debt.

    Raises:
        LedgerConflict: the natural key belongs to another movement.
    """
    return await _debit(session, Movement("refund", user_id, amount, natural_key, reason))


async def claw_back(
    session: AsyncSession, user_id: str, amount: int, natural_key: str, reason: str
) -> bool:
    """Take credits whose payment the bank took back. Credits that are missing become debt.

    Raises:
        LedgerConflict: the natural key belongs to another movement.
    """
    return await _debit(session, Movement("claw_back", user_id, amount, natural_key, reason))


async def expire(session: AsyncSession, user_id: str, now: datetime) -> int:
    """Take the user's credits that expired before ``now``; returns how many."""
    await lock_user(session, user_id)
    expired = 0
    for lot in await lots.open_lots(session, user_id):
        if lot.expires_at > now:
            break
        # Credits that a job returns to an expired lot expire again, under the next key.
        key = f"expire:{lot.id}:{lot.expired}"
        reason = f"unused until {lot.expires_at:%Y-%m-%d}"
        movement = Movement("expire", user_id, lot.remaining, key, reason)
        entries = {available(user_id): -lot.remaining, EXPIRED: lot.remaining}
        if await _book(session, movement, entries) is not None:
            expired += lot.remaining
            await lots.expire_lot(session, lot)
    return expired


async def _spendable(
    session: AsyncSession, user_id: str, account: AccountBalance | None
) -> tuple[AccountBalance, Sequence[CreditLot]]:
    """Return the balance and the open lots, without credits that have expired by now."""
    account = account or await lock_user(session, user_id)
    open_lots = await lots.open_lots(session, user_id) if account.has_lots else ()
    now = datetime.now(UTC)
    if any(lot.expires_at <= now for lot in open_lots):
        await expire(session, user_id, now)
        account = await lock_user(session, user_id)
        open_lots = await lots.open_lots(session, user_id)
    return account, open_lots


def _hold_of(user_id: str, amount: int, job_id: str, reason: str) -> Movement:
    return Movement("hold", user_id, amount, f"hold:{job_id}", reason, job_id)


async def _credit(
    session: AsyncSession, movement: Movement, account: AccountBalance, source: str
) -> str | None:
    user_id, owed = movement.user_id, min(movement.amount, account.debt)
    entries = {
        source: -movement.amount,
        debt(user_id): owed,
        available(user_id): movement.amount - owed,
    }
    return await _book(session, movement, entries)


async def _debit(session: AsyncSession, movement: Movement) -> bool:
    account = await lock_user(session, movement.user_id)
    taken = min(movement.amount, account.balance)
    entries = {
        available(movement.user_id): -taken,
        debt(movement.user_id): taken - movement.amount,
        PURCHASES: movement.amount,
    }
    booked = await _book(session, movement, entries)
    if booked is not None:
        await lots.revoke_excess(session, movement.user_id, account.balance - taken)
        await _alert_if_low(session, movement.user_id, account, taken, booked)
    return booked is not None


async def _alert_if_low(
    session: AsyncSession, user_id: str, before: AccountBalance, taken: int, transaction_id: str
) -> None:
    """Alert the user. Not covered: credits that expire, which the API announces in advance."""
    least, after = before.low_balance, before.balance - taken
    if least is not None and after < least <= before.balance:
        await balance_alerts.enqueue_alert(session, user_id, after, least, transaction_id)


async def _book(
    session: AsyncSession, movement: Movement, entries: dict[str, int], key_id: str | None = None
) -> str | None:
    """Return the id of the transaction, or None if it was booked before or moves no credits."""
    if movement.amount < 0:
        raise ValueError("a movement is never negative")
    if movement.amount == 0:
        return None
    of = movement.user_id
    moved = {account: amount for account, amount in entries.items() if amount != 0}
    change = Change(
        balance=entries.get(available(of), 0),
        held=entries.get(held(of), 0),
        debt=-entries.get(debt(of), 0),
    )
    transaction_id = await booking.insert(session, movement, moved, change, key_id)
    if transaction_id is None:
        await _is_booked(session, movement)
    else:
        count_credits(session, movement.kind, movement.amount)
    return transaction_id


async def _is_booked(session: AsyncSession, movement: Movement) -> bool:
    """Return whether the movement is booked; raises LedgerConflict if its key has another one."""
    booked = (
        await session.execute(
            select(Transaction.user_id, Transaction.kind, Transaction.amount).where(
                Transaction.natural_key == movement.natural_key
            )
        )
    ).one_or_none()
    if booked is None:
        return False
    if tuple(booked) != (movement.user_id, movement.kind, movement.amount):
        raise LedgerConflict(movement.natural_key)
    return True
