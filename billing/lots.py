"""Lots of credits that expire: jobs spend them first, and the rest expires.

Lots are part of their user's balance and never exceed it. Jobs spend the lot that expires soonest
first, and credits without expiry last; credits that a job returns fill these in the reverse order.
Refunds and claw-backs take credits without expiry first.

All changes happen under the lock on the user's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, exists, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import CreditLot, LotUse


async def add(
    session: AsyncSession, lot_id: str, user_id: str, amount: int, expires_at: datetime
) -> None:
    session.add(
        CreditLot(
            id=lot_id, user_id=user_id, granted=amount, remaining=amount, expires_at=expires_at
        )
    )
    await session.flush()


async def open_lots(session: AsyncSession, user_id: str) -> Sequence[CreditLot]:
    """Return the user's lots with remaining credits (expired ones, too), by expiry."""
    lots = await session.scalars(
        select(CreditLot)
        .where(CreditLot.user_id == user_id, CreditLot.remaining > 0)
        .order_by(CreditLot.expires_at, CreditLot.id)
        .execution_options(populate_existing=True)
    )
    return lots.all()


# Whether ``open_lots`` of ``:user_id`` has any, as a column of another query. The zero is written
# out, as that of the index is.
HAS_OPEN = exists().where(
    CreditLot.user_id == bindparam("user_id"), CreditLot.remaining > literal_column("0")
)


async def spend(session: AsyncSession, lots: Sequence[CreditLot], amount: int, job_id: str) -> None:
    """Take up to ``amount`` out of ``lots`` for a job; the rest are credits without expiry."""
    use(session, lots, amount, job_id)
    await session.flush()


def use(session: AsyncSession, lots: Sequence[CreditLot], amount: int, job_id: str) -> None:
    """As ``spend``; the caller flushes, once for many jobs."""
    for lot in lots:
        taken = min(lot.remaining, amount)
        if taken > 0:
            lot.remaining -= taken
            amount -= taken
            session.add(LotUse(job_id=job_id, lot_id=lot.id, taken=taken))


async def return_credits(session: AsyncSession, job_id: str, spent: int, most: int) -> None:
    """Return credits of an ended job to its lots: it spent ``spent``, at most ``most`` come back.

    The lot that expires last gets its credits back first. A lot that has expired meanwhile gets
    its credits, too, which then expire at once.
    """
    uses = await session.execute(
        select(LotUse, CreditLot)
        .join(CreditLot, CreditLot.id == LotUse.lot_id)
        .where(LotUse.job_id == job_id)
        .order_by(CreditLot.expires_at.desc(), CreditLot.id.desc())
        .execution_options(populate_existing=True)
    )
    pairs = uses.all()
    unspent = min(most, max(0, sum(use.taken for use, _ in pairs) - spent))
    for use, lot in pairs:
        back = min(use.taken - use.returned, unspent)
        use.returned += back
        lot.remaining += back
        unspent -= back
    await session.flush()


async def has_uses(session: AsyncSession, job_id: str) -> bool:
    return bool(await session.scalar(select(LotUse.job_id).where(LotUse.job_id == job_id).limit(1)))


async def revoke_excess(session: AsyncSession, user_id: str, balance: int) -> None:
    """Revoke the credits of lots that exceed ``balance``, after credits were taken away."""
    lots = await open_lots(session, user_id)
    beyond = sum(lot.remaining for lot in lots) - balance
    for lot in lots:
        if beyond <= 0:
            break
        excess = min(lot.remaining, beyond)
        lot.remaining -= excess
        lot.revoked += excess
        beyond -= excess
    await session.flush()


async def expire_lot(session: AsyncSession, lot: CreditLot) -> None:
    """Mark the remaining credits of the lot as expired."""
    lot.expired += lot.remaining
    lot.remaining = 0
    await session.flush()


async def users_with_expired(session: AsyncSession, limit: int) -> Sequence[str]:
    """List users whose expired lots have remaining credits."""
    due = select(CreditLot.user_id).where(
        CreditLot.remaining > 0, CreditLot.expires_at <= func.now()
    )
    return (await session.scalars(due.distinct().limit(limit))).all()
