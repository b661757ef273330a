"""The table of batches: many jobs that were submitted as one.

The counts of ended jobs change with the jobs, in the transaction that ends each.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import PRIORITIES, Base, one_of


class Batch(Base):
    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint(one_of("priority", PRIORITIES), name="priority_known"),
        CheckConstraint(
            "total > 0 AND succeeded >= 0 AND failed >= 0 AND canceled >= 0"
            " AND succeeded + failed + canceled <= total",
            name="counts_add_up",
        ),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (succeeded + failed + canceled = total)",
            name="finished_when_all_ended",
        ),
        CheckConstraint(
            "credits_charged BETWEEN 0 AND credits_quoted", name="never_more_than_quoted"
        ),
        Index("batches_by_user", "user_id", text("id DESC")),
        Index(
            "batches_to_cancel",
            "cancel_requested_at",
            postgresql_where=text("cancel_requested_at IS NOT NULL AND finished_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id", ondelete="SET NULL"))
    priority: Mapped[str]
    total: Mapped[int]
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    canceled: Mapped[int] = mapped_column(server_default="0")
    credits_quoted: Mapped[int] = mapped_column(BigInteger)
    credits_charged: Mapped[int] = mapped_column(BigInteger, server_default="0")
    webhook_url: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    cancel_requested_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
