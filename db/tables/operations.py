"""The tables of documents, measurements and the audit log; no job or credit depends on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, FetchedValue, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import Base


class JobDocument(Base):
    """Job metadata where no MongoDB is configured; see db.documents."""

    __tablename__ = "job_metadata"

    job_id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GpuStat(Base):
    """A replica's memory at one moment; counts are since the replica started. Kept for a week.

    ``card_*`` are of its card and of all programs on it; null is not known.
    """

    __tablename__ = "gpu_stats"
    __table_args__ = (
        Index("gpu_stats_by_time", "generator", "sampled_at"),
        Index("gpu_stats_by_age", "sampled_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    generator: Mapped[str]
    replica: Mapped[str]
    device: Mapped[str]
    allocated_bytes: Mapped[int] = mapped_column(BigInteger)
    reserved_bytes: Mapped[int] = mapped_column(BigInteger)
    peak_bytes: Mapped[int] = mapped_column(BigInteger)
    budget_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    # The memory plan of each loaded model, by its key.
    plans: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    loads: Mapped[int] = mapped_column(server_default="0")
    evictions: Mapped[int] = mapped_column(server_default="0")
    ooms: Mapped[int] = mapped_column(server_default="0")
    card_utilization: Mapped[float | None]
    card_temperature_celsius: Mapped[int | None]
    card_used_bytes: Mapped[int | None] = mapped_column(BigInteger)
    card_total_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sampled_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditLog(Base):
    """Who did what to whom. A trigger sets ``id``, ``created_at`` and ``hash``; no row changes."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_by_subject", "subject", "id"),
        Index("audit_log_by_actor", "actor", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, server_default=FetchedValue(), primary_key=True)
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # SHA-256 over the row and the hash of the row before it: see db.operations.audit_chain.
    hash: Mapped[str] = mapped_column(server_default=FetchedValue())
