"""The index of the jobs of a user by their metadata."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The table is large, and in use.
    with op.get_context().autocommit_block():
        op.execute(
            sa.text(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_by_metadata ON jobs"
                " USING gin (jsonb_set('{}'::jsonb, ARRAY[user_id], metadata) jsonb_path_ops)"
                " WHERE metadata <> '{}'::jsonb"
            )
        )


def downgrade() -> None:
    op.drop_index("jobs_by_metadata", table_name="jobs")
