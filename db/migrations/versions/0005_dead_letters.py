"""Which replica holds a job, how many died at it, and what was given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("replica", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("crashes", sa.Integer(), server_default="0", nullable=False))
    op.create_check_constraint("crashes_are_attempts", "jobs", "crashes BETWEEN 0 AND attempt")
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("generator", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("replica", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retried_as", sa.Text(), nullable=True),
        sa.CheckConstraint("reason IN ('worker_lost', 'quarantined')", name="reason_known"),
        sa.CheckConstraint("resolution IN ('retried', 'dropped')", name="resolution_known"),
        sa.CheckConstraint(
            "(resolution IS NULL) = (resolved_at IS NULL)", name="resolved_at_with_resolution"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["retried_as"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id"),
    )
    op.create_index(
        "dead_letters_open",
        "dead_letters",
        [sa.text("id DESC")],
        postgresql_where=sa.text("resolution IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("dead_letters")
    op.drop_constraint("crashes_are_attempts", "jobs")
    op.drop_column("jobs", "crashes")
    op.drop_column("jobs", "replica")
