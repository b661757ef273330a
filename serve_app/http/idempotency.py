"""``Idempotency-Key``: a POST that was sent twice makes one thing.

The row goes into the same transaction as what it makes. Its unique constraint makes a second
sender wait for the first one's commit, and then find what that made.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import IdempotencyKey
from serve_app.http.errors import IdempotencyMismatch

KEPT = timedelta(hours=24)


def body_hash(call: str, body: Any) -> str:
    """The same for equal JSON values sent to the same call."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{call}\n{canonical}".encode()).hexdigest()


async def claim(
    session: AsyncSession, user_id: str, key: str, hashed: str, resource_id: str
) -> str | None:
    """Bind the key to ``resource_id``, which the caller goes on to make in this transaction.

    Returns None if the key was free, else the id of what the first request made.

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


async def find(session: AsyncSession, user_id: str, key: str, hashed: str) -> str | None:
    """The id of what an earlier request with this key made, within the day.

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
