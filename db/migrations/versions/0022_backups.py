"""What became of each backup and each restore drill."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backups",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("detail", JSONB(), nullable=False, server_default="{}"),
        sa.CheckConstraint(
            "kind IN ('base', 'incremental', 'wal', 'objects', 'drill')", name="backup_kind_known"
        ),
        sa.CheckConstraint("bytes >= 0 AND seconds >= 0", name="backup_size_positive"),
    )
    op.create_index("backups_by_age", "backups", ["kind", sa.text("finished_at DESC")])


def downgrade() -> None:
    op.drop_table("backups")
