"""Batches: many jobs that were submitted, and are followed and canceled, as one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=True),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("canceled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("credits_quoted", sa.BigInteger(), nullable=False),
        sa.Column("credits_charged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("priority IN ('high', 'normal', 'low')", name="priority_known"),
        sa.CheckConstraint(
            "total > 0 AND succeeded >= 0 AND failed >= 0 AND canceled >= 0"
            " AND succeeded + failed + canceled <= total",
            name="counts_add_up",
        ),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (succeeded + failed + canceled = total)",
            name="finished_when_all_ended",
        ),
        sa.CheckConstraint(
            "credits_charged BETWEEN 0 AND credits_quoted", name="never_more_than_quoted"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("batches_by_user", "batches", ["user_id", sa.text("id DESC")])
    op.create_index(
        "batches_to_cancel",
        "batches",
        ["cancel_requested_at"],
        postgresql_where=sa.text("cancel_requested_at IS NOT NULL AND finished_at IS NULL"),
    )
    op.add_column("jobs", sa.Column("batch_id", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("batch_line", sa.Integer(), nullable=True))
    op.create_foreign_key(None, "jobs", "batches", ["batch_id"], ["id"])
    op.create_check_constraint(
        "batch_with_line", "jobs", "(batch_id IS NULL) = (batch_line IS NULL)"
    )
    op.create_index(
        "jobs_by_batch",
        "jobs",
        ["batch_id", "batch_line"],
        unique=True,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("jobs_by_batch", "jobs")
    op.drop_constraint("batch_with_line", "jobs")
    op.drop_column("jobs", "batch_line")
    op.drop_column("jobs", "batch_id")
    op.drop_table("batches")
