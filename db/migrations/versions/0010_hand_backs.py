"""Attempts that were lost, counted apart from attempts: one that is handed back is none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("losses", sa.Integer(), server_default="0", nullable=False))
    # Until now every attempt but the one that runs, or that ended the job, had been lost.
    op.execute(
        """
        UPDATE jobs SET losses = CASE
            WHEN status = 'queued' OR error ->> 'code' IN ('worker_lost', 'quarantined')
            THEN attempt ELSE greatest(attempt - 1, crashes, 0) END
        WHERE attempt > 0
        """
    )
    op.drop_constraint("attempts_bounded", "jobs")
    op.drop_constraint("crashes_are_attempts", "jobs")
    op.create_check_constraint("attempts_bounded", "jobs", "attempt BETWEEN 0 AND 23")
    op.create_check_constraint("losses_bounded", "jobs", "losses BETWEEN 0 AND least(attempt, 3)")
    op.create_check_constraint("crashes_are_losses", "jobs", "crashes BETWEEN 0 AND losses")


def downgrade() -> None:
    op.drop_constraint("crashes_are_losses", "jobs")
    op.drop_constraint("losses_bounded", "jobs")
    op.drop_constraint("attempts_bounded", "jobs")
    # Where attempts were handed back, their numbers no longer fit: the highest that does stays.
    op.execute("UPDATE jobs SET attempt = 3 WHERE attempt > 3")
    op.create_check_constraint("crashes_are_attempts", "jobs", "crashes BETWEEN 0 AND attempt")
    op.create_check_constraint("attempts_bounded", "jobs", "attempt BETWEEN 0 AND 3")
    op.drop_column("jobs", "losses")
