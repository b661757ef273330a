"""Jobs that waited so long that they were moved to the front; indexes over the waiting ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("jobs_waiting_by_user", "jobs")
    op.create_index(
        "jobs_waiting_by_user",
        "jobs",
        ["user_id", "generator"],
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "jobs_waiting_by_age",
        "jobs",
        ["priority", "created_at"],
        postgresql_where=sa.text("status = 'queued'"),
    )


def downgrade() -> None:
    op.drop_index("jobs_waiting_by_age", "jobs")
    op.drop_index("jobs_waiting_by_user", "jobs")
    op.create_index(
        "jobs_waiting_by_user",
        "jobs",
        ["user_id"],
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_column("jobs", "promoted_at")
