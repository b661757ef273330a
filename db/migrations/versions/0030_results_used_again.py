"""Results that are used again: what a job's result depends on, and from which job it was copied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Each step can be done again: the index below is not part of the transaction of the others.
    op.execute(sa.text("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS result_key text"))
    op.execute(sa.text("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS cached_from text"))
    # The table is large, and in use.
    with op.get_context().autocommit_block():
        op.execute(
            sa.text(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_by_result ON jobs"
                " (user_id, result_key, finished_at) WHERE result_key IS NOT NULL"
            )
        )


def downgrade() -> None:
    op.drop_index("jobs_by_result", table_name="jobs")
    op.drop_column("jobs", "cached_from")
    op.drop_column("jobs", "result_key")
