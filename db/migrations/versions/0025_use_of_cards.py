"""How busy, warm and full the card of a replica was; null where it is not known."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

COLUMNS: tuple[tuple[str, Any], ...] = (
    ("card_utilization", sa.Double()),
    ("card_temperature_celsius", sa.Integer()),
    ("card_used_bytes", sa.BigInteger()),
    ("card_total_bytes", sa.BigInteger()),
)


def upgrade() -> None:
    for name, kind in COLUMNS:
        op.add_column("gpu_stats", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name, _ in COLUMNS:
        op.drop_column("gpu_stats", name)
