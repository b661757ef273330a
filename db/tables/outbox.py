"""The tables of messages that leave with their transaction."""

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

from db.tables.base import DEAD_REASONS as DEAD_REASONS
from db.tables.base import DEAD_RESOLUTIONS as DEAD_RESOLUTIONS
from db.tables.base import FINAL_STATUSES as FINAL_STATUSES
from db.tables.base import JOB_STATUSES as JOB_STATUSES
from db.tables.base import LEDGER_KINDS as LEDGER_KINDS
from db.tables.base import PRIORITIES as PRIORITIES
from db.tables.base import QUEUE_ORDER as QUEUE_ORDER
from db.tables.base import Base as Base
from db.tables.ledger import CreditLot as CreditLot
from db.tables.ledger import Entry as Entry
from db.tables.ledger import KeySpending as KeySpending
from db.tables.ledger import LotUse as LotUse
from db.tables.ledger import Transaction as Transaction
from db.tables.operations import AuditLog as AuditLog
from db.tables.operations import GpuStat as GpuStat
from db.tables.operations import JobDocument as JobDocument
from db.tables.payments import Payment as Payment
from db.tables.payments import Reversal as Reversal
from db.tables.payments import StripeCustomer as StripeCustomer
from db.tables.payments import StripeEvent as StripeEvent
from db.tables.payments import Subscription as Subscription
from db.tables.payments import Watermark as Watermark


class Outbox(Base):
    """What must be told to the outside once its transaction has committed.

    ``error`` is why the last attempt at a webhook failed; on a row that is done it says that the
    event was given up.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("topic", "natural_key", name="outbox_once"),
        Index("outbox_due", "available_at", postgresql_where=text("done_at IS NULL")),
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
    """What a user's webhooks are signed with. Kept as it is, since a hash could not sign.

    The one before signs beside it until ``previous_until``.
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
