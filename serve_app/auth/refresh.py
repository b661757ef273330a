"""Refresh tokens: each works once. A login is a family of them; a second use revokes the family.

Revoking the family also ends the access tokens that name it: ``serve_app.auth.identity`` asks
``is_revoked`` at each request, in Postgres, because Redis may be wiped and would forget a logout.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Exists, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import RefreshToken, User


@dataclass(frozen=True)
class Rotation:
    """The token that replaces a used one."""

    user_id: str
    family_id: str
    token: str


async def issue(
    session: AsyncSession, user_id: str, seconds: int, family_id: str | None = None
) -> Rotation:
    """Issue a token; without ``family_id`` it begins a new login."""
    token = "atr_" + secrets.token_urlsafe(32)
    family_id = family_id or new_id("fam")
    await session.execute(
        insert(RefreshToken).values(
            id=new_id("rft"),
            family_id=family_id,
            user_id=user_id,
            token_hash=_hash(token),
            expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
        )
    )
    return Rotation(user_id, family_id, token)


async def owner(session: AsyncSession, token: str) -> User | None:
    """Return whose token it is, if ``rotate`` would take it."""
    query = select(User).join(RefreshToken, RefreshToken.user_id == User.id)
    return await session.scalar(query.where(*_usable(token)))


async def rotate(session: AsyncSession, token: str, seconds: int) -> Rotation | None:
    """Mark a token as used and issue the next one.

    Returns None if the token is not usable. If it was used before, somebody has a copy: the whole
    family is revoked, and the caller must commit although it refuses the request.
    """
    used = (
        await session.execute(
            update(RefreshToken)
            .where(*_usable(token))
            .values(used_at=func.now())
            .returning(RefreshToken.user_id, RefreshToken.family_id)
        )
    ).one_or_none()
    if used is not None:
        return await issue(session, used.user_id, seconds, used.family_id)
    await revoke_by_token(session, token)
    return None


async def revoke_by_token(session: AsyncSession, token: str) -> None:
    """Revoke the login that a token belongs to, if there is one."""
    family_id = await session.scalar(
        select(RefreshToken.family_id).where(RefreshToken.token_hash == _hash(token))
    )
    if family_id is not None:
        await revoke_family(session, family_id)


async def revoke_family(session: AsyncSession, family_id: str) -> None:
    """Revoke a login: none of its tokens works again."""
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


async def revoke_user(session: AsyncSession, user_id: str, but_family: str | None = None) -> None:
    """Revoke all logins of a user, but the one of ``but_family``."""
    revoked = update(RefreshToken).where(
        RefreshToken.user_id == user_id, RefreshToken.revoked_at.is_(None)
    )
    if but_family is not None:
        revoked = revoked.where(RefreshToken.family_id != but_family)
    await session.execute(revoked.values(revoked_at=func.now()))


def is_revoked(family_id: str) -> Exists:
    """Return the SQL condition that the login was revoked."""
    return exists().where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_not(None))


def _usable(token: str) -> tuple[ColumnElement[bool], ...]:
    return (
        RefreshToken.token_hash == _hash(token),
        RefreshToken.used_at.is_(None),
        RefreshToken.revoked_at.is_(None),
        RefreshToken.expires_at > func.now(),
    )


def _hash(token: str) -> str:
    # Plain SHA-256 suffices: the token is 256 random bits, there is nothing to guess.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
