"""The table of backups and restore drills; nothing is restored from it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import BACKUP_KINDS, Base, one_of


class Backup(Base):
    """One run of ``atelier-admin backup`` or ``drill``; a failed one has ``ok`` false.

    ``objects`` is a backup without Postgres, which is not the embedded one. ``wal`` has one row:
    the last good round of the archiver.

    ``bytes`` is what the run stored, or what a drill restored. ``detail`` of a drill has
    ``rpo_seconds`` and ``rto_seconds``.
    """

    __tablename__ = "backups"
    __table_args__ = (
        CheckConstraint(one_of("kind", BACKUP_KINDS), name="backup_kind_known"),
        CheckConstraint("bytes >= 0 AND seconds >= 0", name="backup_size_positive"),
        Index("backups_by_age", "kind", text("finished_at DESC")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    seconds: Mapped[float]
    bytes: Mapped[int] = mapped_column(BigInteger)
    ok: Mapped[bool]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
