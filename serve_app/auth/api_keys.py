"""API keys: ``atl_`` and 32 random bytes, shown once, stored as a hash, bound to scopes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    extract,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import users
from db.ids import new_id
from db.session import Sessions
from db.tables import ApiKey, User

PREFIX = "atl_"
USER_SCOPES = frozenset({"jobs:write", "jobs:read", "files", "billing"})
ALL_SCOPES = USER_SCOPES | {"admin"}

# Often enough to see which keys are unused, seldom enough not to write at every request.
USE_RECORD_INTERVAL = timedelta(minutes=1)


@dataclass(frozen=True)
class ValidKey:
    """A key that works now, and the role and plan of its owner."""

    id: str
    user_id: str
    scopes: Sequence[str]
    last_used_at: datetime | None
    expires_in_s: float | None  # by the clock of Postgres, which says whether it has expired
    role: str
    plan: str

    @property
    def use_due_in_s(self) -> float:
        """In how many seconds its use is to be recorded, which is done to the minute."""
        if self.last_used_at is None:
            return 0.0
        return (self.last_used_at + USE_RECORD_INTERVAL - datetime.now(UTC)).total_seconds()


async def create_api_key(
    session: AsyncSession,
    user_id: str,
    name: str,
    scopes: Iterable[str],
    monthly_cap: int | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; returns its row and the key itself, which cannot be read back later.

    Raises:
        ValueError: a scope that does not exist.
    """
    unique_scopes = sorted(set(scopes))
    if not ALL_SCOPES.issuperset(unique_scopes):
        raise ValueError("unknown scope")
    secret = PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(
        id=new_id("key"),
        user_id=user_id,
        name=name,
        key_hash=hash_secret(secret),
        hint=secret[-4:],
        scopes=unique_scopes,
        created_at=datetime.now(UTC),
        monthly_cap=monthly_cap,
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    return row, secret


async def find_all(sessions: Sessions, secrets: Sequence[str]) -> list[ValidKey | None]:
    """Return each key with its owner's role and plan, None for one that is not valid."""
    hashes = [hash_secret(secret) for secret in secrets]
    async with sessions() as session:
        rows = await session.execute(_FIND, {"hashes": hashes})
        found = {row[0]: ValidKey(*row[1:]) for row in rows}
    return [found.get(hashed) for hashed in hashes]


def is_over() -> ColumnElement[bool]:
    """Return the condition that a key was revoked or has expired."""
    # Without the second test it would be NULL for a key that never expires, and so would its NOT.
    expired = and_(ApiKey.expires_at.is_not(None), ApiKey.expires_at <= func.now())
    return or_(ApiKey.revoked_at.is_not(None), expired)


# Built once, since every request with a key runs it.
_FIND = (
    select(
        ApiKey.key_hash,
        ApiKey.id,
        ApiKey.user_id,
        ApiKey.scopes,
        ApiKey.last_used_at,
        # Not the difference of the two, which does not exist if one of them is infinite.
        cast(extract("epoch", ApiKey.expires_at) - extract("epoch", func.now()), Float),
        User.role,
        User.plan,
    )
    .join(User, User.id == ApiKey.user_id)
    .where(
        ApiKey.key_hash == any_(bindparam("hashes", type_=ARRAY(Text))), ~is_over(), users.IS_OPEN
    )
)


async def record_use(session: AsyncSession, key_id: str) -> None:
    """Record that the key was used now; of several requests that found it due, one does."""
    long_ago = func.now() - USE_RECORD_INTERVAL
    due = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < long_ago)
    await session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id, due)
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )


async def page(
    session: AsyncSession, user_id: str, after: str | None, limit: int
) -> Sequence[ApiKey]:
    """List the user's keys that were not revoked, newest first, older than the id ``after``."""
    query = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    if after is not None:
        query = query.where(ApiKey.id < after)
    return (await session.scalars(query.order_by(ApiKey.id.desc()).limit(limit))).all()


async def change(
    session: AsyncSession, user_id: str, key_id: str, changes: Mapping[str, Any]
) -> ApiKey | None:
    """Set columns of a key of the user; returns None if there is none, or it was revoked."""
    ours = (ApiKey.id == key_id, ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    if changes:
        await session.execute(update(ApiKey).where(*ours).values(**changes))
    return await session.scalar(select(ApiKey).where(*ours))


async def revoke(session: AsyncSession, user_id: str, key_id: str) -> bool:
    """Revoke a key of the user; returns False if there is no such key."""
    revoked = await session.scalar(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    )
    return revoked is not None


async def revoke_all(session: AsyncSession, user_id: str) -> None:
    """Revoke all keys of a user."""
    await session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


async def revoke_admin_keys(session: AsyncSession, user_id: str) -> int:
    """Revoke the keys of a user that have the scope ``admin``; returns how many."""
    revoked = await session.scalars(
        update(ApiKey)
        .where(
            ApiKey.user_id == user_id,
            ApiKey.revoked_at.is_(None),
            ApiKey.scopes.contains(["admin"]),
        )
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    )
    return len(revoked.all())


def hash_secret(secret: str) -> str:
    """Return what is kept in the place of a key."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
