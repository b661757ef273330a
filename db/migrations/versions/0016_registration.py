"""Accounts that wait for their address to be verified, mailed tokens, and counters of a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("pending", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_index(
        "users_pending", "users", ["created_at"], postgresql_where=sa.text("pending")
    )
    op.create_table(
        "account_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.CheckConstraint("purpose IN ('verify', 'reset')", name="purpose_known"),
        sa.CheckConstraint(
            "(purpose = 'verify') = (password_hash IS NOT NULL)", name="verify_sets_password"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("account_tokens_by_user", "account_tokens", ["user_id"])
    op.create_table(
        "daily_counters",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "subject"),
    )


def downgrade() -> None:
    op.drop_table("daily_counters")
    op.drop_table("account_tokens")
    op.drop_index("users_pending", "users")
    # They could log in from now on, by a password that the owner of the address may not have chosen.
    op.execute("DELETE FROM users WHERE pending")
    op.drop_column("users", "pending")
