"""Accounts that their owner deleted, and mailed tokens that change an address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        "deleted_before_erased", "users", "erased_at IS NULL OR deleted_at IS NOT NULL"
    )
    op.create_index(
        "users_to_erase",
        "users",
        ["deleted_at"],
        postgresql_where=sa.text("deleted_at IS NOT NULL AND erased_at IS NULL"),
    )
    op.add_column("account_tokens", sa.Column("email", sa.Text(), nullable=True))
    op.drop_constraint("purpose_known", "account_tokens")
    op.create_check_constraint(
        "purpose_known", "account_tokens", "purpose IN ('verify', 'reset', 'change')"
    )
    op.create_check_constraint(
        "change_sets_email", "account_tokens", "(purpose = 'change') = (email IS NOT NULL)"
    )


def downgrade() -> None:
    op.execute("DELETE FROM account_tokens WHERE purpose = 'change'")
    op.drop_constraint("change_sets_email", "account_tokens")
    op.drop_constraint("purpose_known", "account_tokens")
    op.create_check_constraint("purpose_known", "account_tokens", "purpose IN ('verify', 'reset')")
    op.drop_column("account_tokens", "email")
    op.drop_index("users_to_erase", "users")
    op.drop_constraint("deleted_before_erased", "users")
    # A deleted account stays shut: its password, log-ins and keys were ended with it.
    op.drop_column("users", "erased_at")
    op.drop_column("users", "deleted_at")
