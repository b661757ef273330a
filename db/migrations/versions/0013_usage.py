"""Quotes kept on jobs, what API keys spend and may spend, and who is told that credits run low."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("quote", JSONB(), server_default="[]", nullable=False))
    op.create_index(
        "jobs_ended_by_user",
        "jobs",
        ["user_id", "finished_at"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.add_column("api_keys", sa.Column("monthly_cap", sa.BigInteger(), nullable=True))
    op.create_check_constraint("monthly_cap_not_negative", "api_keys", "monthly_cap >= 0")
    op.create_table(
        "key_spending",
        sa.Column(
            "api_key_id",
            sa.Text(),
            sa.ForeignKey("api_keys.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("month", sa.Date(), primary_key=True),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("spent >= 0", name="spent_not_negative"),
    )
    op.execute(
        """
        INSERT INTO key_spending (api_key_id, month, spent)
        SELECT api_key_id, date_trunc('month', created_at AT TIME ZONE 'UTC')::date,
               sum(CASE WHEN finished_at IS NULL THEN credits_quoted ELSE credits_charged END)
        FROM jobs WHERE api_key_id IS NOT NULL GROUP BY 1, 2
        """
    )
    op.add_column("users", sa.Column("low_balance", sa.BigInteger(), nullable=True))
    op.add_column("users", sa.Column("low_balance_url", sa.Text(), nullable=True))
    op.create_check_constraint(
        "low_balance_is_told_somewhere",
        "users",
        "(low_balance IS NULL) = (low_balance_url IS NULL) AND low_balance > 0",
    )


def downgrade() -> None:
    op.drop_constraint("low_balance_is_told_somewhere", "users")
    op.drop_column("users", "low_balance_url")
    op.drop_column("users", "low_balance")
    op.drop_table("key_spending")
    op.drop_constraint("monthly_cap_not_negative", "api_keys")
    op.drop_column("api_keys", "monthly_cap")
    op.drop_index("jobs_ended_by_user", "jobs")
    op.drop_column("jobs", "quote")
