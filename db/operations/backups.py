"""What became of backups and restore drills, and how old the last good ones are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import BACKUP_KINDS, Backup


async def record(
    session: AsyncSession,
    *,
    kind: str,
    started_at: datetime,
    finished_at: datetime,
    size: int,
    ok: bool,
    detail: Mapping[str, Any] | None = None,
) -> str:
    """Write a row and return its id; ``kind`` is one of ``BACKUP_KINDS``, ``size`` in bytes."""
    row_id = new_id("bkp")
    await session.execute(
        insert(Backup).values(
            id=row_id,
            kind=kind,
            started_at=started_at,
            finished_at=finished_at,
            seconds=max(0.0, (finished_at - started_at).total_seconds()),
            bytes=size,
            ok=ok,
            detail=dict(detail or {}),
        )
    )
    return row_id


async def ages(session: AsyncSession) -> dict[str, timedelta | None]:
    """Return the age of the last good run of each kind; None if there was none.

    An incremental backup restores as much as a full one, so whoever alerts on the age of backups
    takes the younger of ``base`` and ``incremental``.
    """
    query = (
        select(Backup.kind, func.max(Backup.finished_at), func.now())
        .where(Backup.ok)
        .group_by(Backup.kind)
    )
    rows = (await session.execute(query)).all()
    found = {kind: now - finished for kind, finished, now in rows}
    return {kind: found.get(kind) for kind in BACKUP_KINDS}


async def last_drill(session: AsyncSession) -> Backup | None:
    """Return the last drill, good or not; its ``detail`` has RPO and RTO in seconds."""
    query = (
        select(Backup).where(Backup.kind == "drill").order_by(Backup.finished_at.desc()).limit(1)
    )
    return (await session.scalars(query)).first()
