"""What a replica's models do with its memory: budget, plans, loads, evictions, out-of-memories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COUNTS = ("loads", "evictions", "ooms")


def upgrade() -> None:
    op.add_column(
        "gpu_stats",
        sa.Column("budget_bytes", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "gpu_stats",
        sa.Column("plans", postgresql.JSONB(), server_default="{}", nullable=False),
    )
    for name in COUNTS:
        op.add_column(
            "gpu_stats", sa.Column(name, sa.Integer(), server_default="0", nullable=False)
        )
    op.create_index("gpu_stats_by_age", "gpu_stats", ["sampled_at"])


def downgrade() -> None:
    op.drop_index("gpu_stats_by_age", "gpu_stats")
    for name in ("budget_bytes", "plans", *COUNTS):
        op.drop_column("gpu_stats", name)
