"""The audit log: who did what to whom, written in the transaction of the action.

The database numbers, dates and chains the rows, and refuses to change them (migration 0019). A
writer holds the log's lock until its transaction ends, so ``write`` is the last statement of one:
whoever took another lock after it could wait for somebody who waits for the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import AuditLog, Job

# Writes the row about a change of a job. Who makes the change calls it, last in its transaction.
JobAudit: TypeAlias = Callable[[AsyncSession, Job], Awaitable[None]]


@dataclass(frozen=True)
class AuditFilter:
    """Which rows to list; ``None`` means any. ``created_before`` is exclusive."""

    actor: str | None = None
    subject: str | None = None
    action: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


async def write(
    session: AsyncSession,
    *,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write a row; ``actor`` and ``subject`` are ids, ``detail`` is JSON.

    Nothing deletes it, so that no address and no name of a person belongs into it.
    """
    await session.execute(
        insert(AuditLog).values(
            actor=actor, action=action, subject=subject, detail=dict(detail or {})
        )
    )


async def page(
    session: AsyncSession, which: AuditFilter, after: int | None, limit: int
) -> Sequence[AuditLog]:
    """List up to ``limit`` rows, newest first, older than the id ``after``."""
    query = select(AuditLog)
    if which.actor is not None:
        query = query.where(AuditLog.actor == which.actor)
    if which.subject is not None:
        query = query.where(AuditLog.subject == which.subject)
    if which.action is not None:
        query = query.where(AuditLog.action == which.action)
    if which.created_after is not None:
        query = query.where(AuditLog.created_at >= which.created_after)
    if which.created_before is not None:
        query = query.where(AuditLog.created_at < which.created_before)
    if after is not None:
        query = query.where(AuditLog.id < after)
    return (await session.scalars(query.order_by(AuditLog.id.desc()).limit(limit))).all()
