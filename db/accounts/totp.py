"""Apps that show codes: enrolled, confirmed, asked, removed. Each change is a guarded UPDATE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Float, case, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import TotpFactor

# So many guesses since the last right code cost nothing. Each further one blocks the factor, for a
# minute at first, then for two, and so on up to a day. That is some 400 guesses a year at a million
# codes, three of which are right at a time; and only who knows the password may guess.
FREE_GUESSES = 10
_FIRST_BLOCK = timedelta(minutes=1)
_MAX_BLOCK = timedelta(days=1)
_MAX_DOUBLINGS = 11  # more than a day, and no number that overflows


@dataclass(frozen=True)
class Guess:
    """A guess that is let through: what it is compared with, and how many there were in a row."""

    sealed_secret: bytes
    number: int


async def get(session: AsyncSession, user_id: str) -> TotpFactor | None:
    return await session.get(TotpFactor, user_id)


async def is_enabled(session: AsyncSession, user_id: str) -> bool:
    """Return whether log-ins of the user need a code."""
    query = select(TotpFactor.user_id).where(
        TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_not(None)
    )
    return await session.scalar(query) is not None


async def enrol(session: AsyncSession, user_id: str, sealed_secret: bytes) -> bool:
    """Keep a secret that is to be confirmed, in the place of one that never was.

    Returns False if the user has a factor.
    """
    new = insert(TotpFactor).values(user_id=user_id, sealed_secret=sealed_secret)
    kept = new.on_conflict_do_update(
        index_elements=[TotpFactor.user_id],
        set_={
            "sealed_secret": new.excluded.sealed_secret,
            "created_at": func.now(),
            "failures": 0,
            "blocked_until": None,
        },
        where=TotpFactor.confirmed_at.is_(None),
    )
    return await session.scalar(kept.returning(TotpFactor.user_id)) is not None


async def count_guess(session: AsyncSession, user_id: str) -> Guess | None:
    """Count a guess before it is looked at, so that many at the same moment are counted, too.

    A right code takes it back. Returns None if the factor is blocked, or there is none.
    """
    beyond = func.least(TotpFactor.failures + 1 - FREE_GUESSES, _MAX_DOUBLINGS)
    block = func.least(_MAX_BLOCK, _FIRST_BLOCK * func.power(2.0, cast(beyond, Float)))
    counted = (
        update(TotpFactor)
        .where(
            TotpFactor.user_id == user_id,
            or_(TotpFactor.blocked_until.is_(None), TotpFactor.blocked_until <= func.now()),
        )
        .values(
            failures=TotpFactor.failures + 1,
            blocked_until=case((beyond >= 0, func.now() + block), else_=None),
        )
        .returning(TotpFactor.sealed_secret, TotpFactor.failures)
    )
    row = (await session.execute(counted)).one_or_none()
    return None if row is None else Guess(row.sealed_secret, row.failures)


async def take_back_guess(session: AsyncSession, user_id: str) -> None:
    """Forget a guess that was counted and could not be looked at, and the block that it brought."""
    await session.execute(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id, TotpFactor.failures > 0)
        .values(failures=TotpFactor.failures - 1, blocked_until=None)
    )


async def lock(session: AsyncSession, user_id: str) -> bool:
    """Lock the factor until the transaction ends; returns False if log-ins need no code.

    Whoever uses or replaces recovery codes locks it first, as whoever removes it does: so there is
    no deadlock, and no codes outlive it.
    """
    query = select(TotpFactor.user_id).where(
        TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_not(None)
    )
    return await session.scalar(query.with_for_update()) is not None


async def use_step(session: AsyncSession, user_id: str, step: int) -> bool:
    """Use up the code of a time step; returns False if it, or a later one, was used before."""
    used = await session.scalar(
        update(TotpFactor)
        .where(
            TotpFactor.user_id == user_id,
            TotpFactor.confirmed_at.is_not(None),
            or_(TotpFactor.last_step.is_(None), TotpFactor.last_step < step),
        )
        .values(last_step=step, failures=0, blocked_until=None)
        .returning(TotpFactor.user_id)
    )
    return used is not None


async def reseal(session: AsyncSession, user_id: str, before: bytes, after: bytes) -> bool:
    """Keep the same secret under another seal; returns False if another is kept by now."""
    resealed = await session.scalar(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id, TotpFactor.sealed_secret == before)
        .values(sealed_secret=after)
        .returning(TotpFactor.user_id)
    )
    return resealed is not None


async def confirm(session: AsyncSession, user_id: str, sealed_secret: bytes, step: int) -> bool:
    """Have log-ins ask for codes from now on; that of ``step`` is used up.

    Returns False if the factor is confirmed already, or another secret took its place.
    """
    confirmed = await session.scalar(
        update(TotpFactor)
        .where(
            TotpFactor.user_id == user_id,
            TotpFactor.sealed_secret == sealed_secret,
            TotpFactor.confirmed_at.is_(None),
        )
        .values(confirmed_at=func.now(), last_step=step, failures=0, blocked_until=None)
        .returning(TotpFactor.user_id)
    )
    return confirmed is not None


async def remove(session: AsyncSession, user_id: str) -> bool:
    """Remove the factor, confirmed or not; returns whether log-ins needed it."""
    was_confirmed = await session.scalar(
        delete(TotpFactor)
        .where(TotpFactor.user_id == user_id)
        .returning(TotpFactor.confirmed_at.is_not(None))
    )
    return bool(was_confirmed)
