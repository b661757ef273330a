"""The audit log (actor, action, subject), written in the action's transaction, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import AuditLog


async def write(
    session: AsyncSession,
    *,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write an entry; ``actor`` and ``subject`` are ids, ``detail`` is JSON."""
    await session.execute(
        insert(AuditLog).values(
            actor=actor, action=action, subject=subject, detail=dict(detail or {})
        )
    )
