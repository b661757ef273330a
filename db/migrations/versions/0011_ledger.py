"""Debt, and credits that expire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("debt", sa.BigInteger(), server_default="0", nullable=False))
    op.create_check_constraint("debt_not_negative", "users", "debt >= 0")
    op.create_check_constraint("debt_before_balance", "users", "debt = 0 OR balance = 0")
    op.create_table(
        "credit_lots",
        sa.Column("id", sa.Text(), sa.ForeignKey("transactions.id"), primary_key=True),
        sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revoked", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "remaining >= 0 AND expired >= 0 AND revoked >= 0"
            " AND remaining + expired + revoked <= granted",
            name="lot_adds_up",
        ),
    )
    still_there = sa.text("remaining > 0")
    op.create_index(
        "credit_lots_open", "credit_lots", ["user_id", "expires_at"], postgresql_where=still_there
    )
    op.create_index("credit_lots_due", "credit_lots", ["expires_at"], postgresql_where=still_there)
    op.create_table(
        "lot_uses",
        sa.Column("job_id", sa.Text(), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("lot_id", sa.Text(), sa.ForeignKey("credit_lots.id"), primary_key=True),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.Column("returned", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("taken > 0 AND returned BETWEEN 0 AND taken", name="use_adds_up"),
    )
    op.create_index("lot_uses_by_lot", "lot_uses", ["lot_id"])


def downgrade() -> None:
    op.drop_table("lot_uses")
    op.drop_table("credit_lots")
    op.drop_constraint("debt_before_balance", "users")
    op.drop_constraint("debt_not_negative", "users")
    op.drop_column("users", "debt")
