"""How busy, warm and full the card of a replica was; null where it is not known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("card_utilization", sa.Double(), nullable=True),
        sa.Column("card_temperature_celsius", sa.Integer(), nullable=True),
        sa.Column("card_used_bytes", sa.BigInteger(), nullable=True),
        sa.Column("card_total_bytes", sa.BigInteger(), nullable=True),
    ):
        op.add_column("gpu_stats", column)


def downgrade() -> None:
    for name in ("utilization", "temperature_celsius", "used_bytes", "total_bytes"):
        op.drop_column("gpu_stats", f"card_{name}")
