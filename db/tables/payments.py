"""The tables of customers, payments, reversals, subscriptions and Stripe's events.

No row holds a card, a bank account or a secret; those stay with Stripe.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import Base, one_of

REVERSAL_KINDS = ("refund", "dispute")
EVENT_OUTCOMES = (
    "applied",  # what it is about is booked as Stripe has it
    "not_ours",  # of a customer that this installation does not know
    "ignored",  # of a kind that changes nothing here
    "failed",  # tried for days and given up; an operator replays it
)


class StripeCustomer(Base):
    """The Stripe customer of a user."""

    __tablename__ = "stripe_customers"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    customer_id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Payment(Base):
    """Paid credits; the id is that of the checkout session or invoice."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="payment_amount_positive"),
        Index("payments_by_user", "user_id", "created_at"),
        Index("payments_by_intent", "payment_intent_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    payment_intent_id: Mapped[str | None]  # none if nothing had to be paid
    offer: Mapped[str]  # a name of billing.offers
    # Below zero for an invoice that credits more of a plan than it charges for another.
    credits: Mapped[int] = mapped_column(BigInteger)
    # In the currency's smallest unit; also what was paid out of credit that Stripe owed.
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    paid_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Reversal(Base):
    """Money of a payment that went back: a refund or a dispute, by its id at Stripe."""

    __tablename__ = "reversals"
    __table_args__ = (
        CheckConstraint(one_of("kind", REVERSAL_KINDS), name="reversal_kind_known"),
        CheckConstraint("credits >= 0 AND amount >= 0", name="reversal_positive"),
        Index("reversals_by_payment", "payment_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"))
    kind: Mapped[str]
    credits: Mapped[int] = mapped_column(BigInteger)  # credits taken for it
    amount: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # A refund that failed, a dispute that was won: the credits were given back.
    undone_at: Mapped[datetime | None]


class Subscription(Base):
    """A subscription as Stripe last had it."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index("subscriptions_by_user", "user_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    plan: Mapped[str]
    status: Mapped[str]  # Stripe's word: active, past_due, canceled, ...
    current_period_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StripeEvent(Base):
    """The inbox: each event once, however often and in whatever order it came."""

    __tablename__ = "stripe_events"
    __table_args__ = (
        CheckConstraint(one_of("outcome", EVENT_OUTCOMES), name="outcome_known"),
        CheckConstraint(
            "(outcome IS NULL) = (processed_at IS NULL)", name="processed_with_an_outcome"
        ),
        Index("stripe_events_due", "available_at", postgresql_where=text("processed_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    object_id: Mapped[str | None]
    # The event without data of cards and persons, and without links.
    payload: Mapped[dict[str, Any]]
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    processed_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    error: Mapped[str | None]


class Watermark(Base):
    """The time up to which a list was read."""

    __tablename__ = "watermarks"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
