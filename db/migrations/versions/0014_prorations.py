"""An invoice may take credits: one that credits more of a plan than it charges for another."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("payment_positive", "payments", type_="check")
    op.create_check_constraint("payment_amount_positive", "payments", "amount >= 0")


def downgrade() -> None:
    op.drop_constraint("payment_amount_positive", "payments", type_="check")
    op.create_check_constraint("payment_positive", "payments", "credits >= 0 AND amount >= 0")
