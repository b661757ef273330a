"""``Idempotency-Key``: a POST that was sent twice creates one resource.

The row of the key is written in the transaction that creates the resource. Its unique constraint
makes a second request wait for the first one's commit and then return the same resource.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import IdempotencyKey
from serve_app.http.errors import IdempotencyMismatch

KEPT = timedelta(hours=24)


def body_hash(call: str, body: Any) -> str:
    """Hash a JSON body and its call; equal values have equal hashes."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{call}\n{canonical}".encode()).hexdigest()


async def claim(
    session: AsyncSession, user_id: str, key: str, hashed: str, resource_id: str
) -> str | None:
    """Bind the key to ``resource_id``, which the caller creates in this transaction.

    Returns None if the key was free, else the id of the resource of the first request.

    Raises:
        IdempotencyMismatch: the first request had another body.
    """
    values = {"body_hash": hashed, "resource_id": resource_id}
    claimed = await session.scalar(
        insert(IdempotencyKey)
        .values(user_id=user_id, key=key, **values)
        .on_conflict_do_update(
            constraint="idempotency_key_once",
            set_={**values, "created_at": func.now()},
            where=IdempotencyKey.created_at < func.now() - KEPT,
        )
        .returning(IdempotencyKey.id)
    )
    if claimed is not None:
        return None
    return await find(session, user_id, key, hashed)


async def find_latest(
    session: AsyncSession, user_id: str, prefix: str, within: timedelta
) -> str | None:
    """Return the id of what the last request whose key begins with ``prefix`` created."""
    return await session.scalar(
        select(IdempotencyKey.resource_id)
        .where(
            IdempotencyKey.user_id == user_id,
            IdempotencyKey.key.startswith(prefix, autoescape=True),
            IdempotencyKey.created_at >= func.now() - within,
        )
        .order_by(IdempotencyKey.created_at.desc())
        .limit(1)
    )


async def rename(
    session: AsyncSession,
    user_id: str,
    prefix: str,
    new_prefix: str,
    within: timedelta,
    resource_id: str | None = None,
) -> str | None:
    """Give one key that begins with ``prefix`` another beginning, the oldest one of that time.

    ``resource_id`` names what the key created, if that is known. Returns what it created; None if
    there is no such key. Of two sessions that ask at once, each gets a key of its own.
    """
    oldest = (
        select(IdempotencyKey.id)
        .where(
            IdempotencyKey.user_id == user_id,
            IdempotencyKey.key.startswith(prefix, autoescape=True),
            IdempotencyKey.created_at >= func.now() - within,
        )
        .order_by(IdempotencyKey.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if resource_id is not None:
        oldest = oldest.where(IdempotencyKey.resource_id == resource_id)
    rest = func.substr(IdempotencyKey.key, len(prefix) + 1)
    return await session.scalar(
        update(IdempotencyKey)
        .where(IdempotencyKey.id == oldest.scalar_subquery())
        .values(key=func.concat(new_prefix, rest))
        .returning(IdempotencyKey.resource_id)
    )


async def find(session: AsyncSession, user_id: str, key: str, hashed: str) -> str | None:
    """Return the id of the resource that a request with this key created within the last day.

    Raises:
        IdempotencyMismatch: the first request had another body.
    """
    first = (
        await session.execute(
            select(IdempotencyKey.body_hash, IdempotencyKey.resource_id).where(
                IdempotencyKey.user_id == user_id,
                IdempotencyKey.key == key,
                IdempotencyKey.created_at >= func.now() - KEPT,
            )
        )
    ).one_or_none()
    if first is None:
        return None
    if first.body_hash != hashed:
        raise IdempotencyMismatch
    return str(first.resource_id)
