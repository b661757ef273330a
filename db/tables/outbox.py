"""The tables of the transactional outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import Base


class Outbox(Base):
    """A message to deliver once its transaction has committed.

    ``error`` is why the last attempt at a webhook or a mail failed; on a row that is done it says
    that the message was given up.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("topic", "natural_key", name="outbox_once"),
        Index("outbox_due", "available_at", postgresql_where=text("done_at IS NULL")),
        Index(
            "outbox_webhooks_by_user",
            text("(payload ->> 'user_id')"),
            text("id DESC"),
            postgresql_where=text("topic = 'webhook'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topic: Mapped[str]
    natural_key: Mapped[str]
    payload: Mapped[dict[str, Any]]
    attempts: Mapped[int] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    error: Mapped[str | None]


class WebhookSecret(Base):
    """The secret that signs a user's webhooks, in plain text, since a hash could not sign.

    The previous secret also signs until ``previous_until``.
    """

    __tablename__ = "webhook_secrets"
    __table_args__ = (
        CheckConstraint(
            "(previous IS NULL) = (previous_until IS NULL)", name="previous_has_an_end"
        ),
    )

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    secret: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    previous: Mapped[str | None]
    previous_until: Mapped[datetime | None]
