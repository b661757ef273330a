"""Mailed tokens: each works once, until it expires, and is stored as a hash."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import AccountToken

Purpose = Literal["verify", "reset", "change"]

LIFETIME: dict[Purpose, timedelta] = {
    "verify": timedelta(hours=24),
    "reset": timedelta(minutes=30),
    "change": timedelta(hours=24),
}


async def issue(
    session: AsyncSession,
    user_id: str,
    purpose: Purpose,
    password_hash: str | None = None,
    email: str | None = None,
) -> str:
    """Make a token; ``password_hash`` is what one that verifies an address will set, ``email`` the
    address that one of the purpose ``change`` will set."""
    token = f"{purpose}_{secrets.token_urlsafe(32)}"
    session.add(
        AccountToken(
            id=new_id("mtk"),
            user_id=user_id,
            purpose=purpose,
            token_hash=_hash(token),
            password_hash=password_hash,
            email=email,
            expires_at=datetime.now(UTC) + LIFETIME[purpose],
        )
    )
    await session.flush()
    return token


async def is_usable(session: AsyncSession, token: str, purpose: Purpose) -> bool:
    """Return whether :func:`use` would take the token now."""
    query = select(AccountToken.id).where(*_usable(token, purpose))
    return await session.scalar(query) is not None


async def use(session: AsyncSession, token: str, purpose: Purpose) -> AccountToken | None:
    """Use the token up, and with it all others of its user; None if it is not usable."""
    used = await session.scalar(
        update(AccountToken)
        .where(*_usable(token, purpose))
        .values(used_at=func.now())
        .returning(AccountToken)
    )
    if used is not None:
        await session.execute(
            update(AccountToken)
            .where(AccountToken.user_id == used.user_id, AccountToken.used_at.is_(None))
            .values(used_at=func.now())
            .execution_options(synchronize_session=False)
        )
    return used


async def delete_of_user(session: AsyncSession, user_id: str) -> None:
    await session.execute(delete(AccountToken).where(AccountToken.user_id == user_id))


async def delete_expired(session: AsyncSession) -> int:
    """Delete the tokens that have expired; returns how many."""
    deleted = await session.scalars(
        delete(AccountToken).where(AccountToken.expires_at < func.now()).returning(AccountToken.id)
    )
    return len(deleted.all())


def _usable(token: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        AccountToken.token_hash == _hash(token),
        AccountToken.purpose == purpose,
        AccountToken.used_at.is_(None),
        AccountToken.expires_at > func.now(),
    )


def _hash(token: str) -> str:
    # Plain SHA-256 suffices: the token is 256 random bits, there is nothing to guess.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
