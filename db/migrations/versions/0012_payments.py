"""What is paid: customers, payments, reversals, subscriptions, and the inbox of events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NOW = sa.func.now()


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=nullable, server_default=NOW if now else None
    )


def _user(*, primary_key: bool = False) -> sa.Column[object]:
    return sa.Column(
        "user_id", sa.Text(), sa.ForeignKey("users.id"), primary_key=primary_key, nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "stripe_customers",
        _user(primary_key=True),
        sa.Column("customer_id", sa.Text(), nullable=False, unique=True),
        _time("created_at", now=True),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Text(), primary_key=True),
        _user(),
        sa.Column("payment_intent_id", sa.Text()),
        sa.Column("offer", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        _time("paid_at"),
        _time("created_at", now=True),
        sa.CheckConstraint("credits >= 0 AND amount >= 0", name="payment_positive"),
    )
    op.create_index("payments_by_user", "payments", ["user_id", "created_at"])
    op.create_index("payments_by_intent", "payments", ["payment_intent_id"])
    op.create_table(
        "reversals",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("payment_id", sa.Text(), sa.ForeignKey("payments.id"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        _time("created_at", now=True),
        _time("undone_at", nullable=True),
        sa.CheckConstraint("kind IN ('refund', 'dispute')", name="reversal_kind_known"),
        sa.CheckConstraint("credits >= 0 AND amount >= 0", name="reversal_positive"),
    )
    op.create_index("reversals_by_payment", "reversals", ["payment_id"])
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text(), primary_key=True),
        _user(),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        _time("current_period_end", nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), server_default="false", nullable=False),
        _time("created_at", now=True),
        _time("updated_at", now=True),
    )
    op.create_index("subscriptions_by_user", "subscriptions", ["user_id"])
    op.create_table(
        "stripe_events",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text()),
        sa.Column("payload", JSONB(), nullable=False),
        _time("occurred_at"),
        _time("received_at", now=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _time("available_at", now=True),
        _time("processed_at", nullable=True),
        sa.Column("outcome", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint(
            "outcome IN ('applied', 'not_ours', 'ignored', 'failed')", name="outcome_known"
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (processed_at IS NULL)", name="processed_with_an_outcome"
        ),
    )
    op.create_index(
        "stripe_events_due",
        "stripe_events",
        ["available_at"],
        postgresql_where=sa.text("processed_at IS NULL"),
    )
    op.create_table(
        "watermarks", sa.Column("name", sa.Text(), primary_key=True), _time("at")
    )


def downgrade() -> None:
    for table in (
        "watermarks",
        "stripe_events",
        "subscriptions",
        "reversals",
        "payments",
        "stripe_customers",
    ):
        op.drop_table(table)
