"""Rename ``jobs.parked_at`` to ``deferred_at``, with its index: the rest of the code says "deferred".

The values stay. Code of the version before does not know the new name: stop it before the upgrade.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("jobs", "parked_at", new_column_name="deferred_at")
    op.execute("ALTER INDEX jobs_parked RENAME TO jobs_deferred")


def downgrade() -> None:
    op.execute("ALTER INDEX jobs_deferred RENAME TO jobs_parked")
    op.alter_column("jobs", "deferred_at", new_column_name="parked_at")
