"""Credits that expire: which of them a job spends, and what becomes of the rest.

They are part of their user's balance and never more than it. Jobs spend them first, the soonest to
expire before the others; what a job gives back are its other credits first, and only then these.
What is taken away (money went back) is taken from other credits first.

All of it happens under the user's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
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
    """The user's lots that hold something, the soonest to expire first; expired ones included."""
    lots = await session.scalars(
        select(CreditLot)
        .where(CreditLot.user_id == user_id, CreditLot.remaining > 0)
        .order_by(CreditLot.expires_at, CreditLot.id)
        .execution_options(populate_existing=True)
    )
    return lots.all()


async def spend(session: AsyncSession, lots: Sequence[CreditLot], amount: int, job_id: str) -> None:
    """Take up to ``amount`` out of ``lots`` for a job; what they lack are other credits."""
    for lot in lots:
        taken = min(lot.remaining, amount)
        if taken == 0:
            return
        lot.remaining -= taken
        amount -= taken
        session.add(LotUse(job_id=job_id, lot_id=lot.id, taken=taken))
    await session.flush()


async def return_credits(session: AsyncSession, job_id: str, spent: int, most: int) -> None:
    """A job that took from lots ended: it spent ``spent`` credits, and ``most`` came back.

    The lot that lasts longest gets its credits back first. One that has expired meanwhile gets them
    too, to expire at once.
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
    """Credits were taken away: what lots hold beyond ``balance`` is revoked."""
    lots = await open_lots(session, user_id)
    beyond = sum(lot.remaining for lot in lots) - balance
    for lot in lots:
        if beyond <= 0:
            break
        gone = min(lot.remaining, beyond)
        lot.remaining -= gone
        lot.revoked += gone
        beyond -= gone
    await session.flush()


async def expire_lot(session: AsyncSession, lot: CreditLot) -> None:
    """What is left of it has expired."""
    lot.expired += lot.remaining
    lot.remaining = 0
    await session.flush()


async def users_with_expired(session: AsyncSession, limit: int) -> Sequence[str]:
    """Users with lots that have expired and still hold something."""
    due = select(CreditLot.user_id).where(
        CreditLot.remaining > 0, CreditLot.expires_at <= func.now()
    )
    return (await session.scalars(due.distinct().limit(limit))).all()
