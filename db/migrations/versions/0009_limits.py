"""Plans and limits of users; jobs set aside while their users run as many as may."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

QUEUED = "status = 'queued'"
TURN = ("(promoted_at IS NULL)", "(priority = 'low')", "(priority = 'normal')")


def upgrade() -> None:
    op.add_column("users", sa.Column("plan", sa.Text(), server_default="free", nullable=False))
    for name in ("max_waiting_jobs", "max_running_jobs"):
        op.add_column("users", sa.Column(name, sa.Integer(), nullable=True))
        op.create_check_constraint(f"{name}_not_negative", "users", f"{name} >= 0")
    op.add_column("jobs", sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "jobs_running_by_user",
        "jobs",
        ["user_id"],
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "jobs_parked",
        "jobs",
        ["user_id", "generator"],
        postgresql_where=sa.text(f"{QUEUED} AND parked_at IS NOT NULL"),
    )
    op.drop_index("jobs_waiting_by_user", "jobs")
    op.create_index(
        "jobs_waiting_by_user",
        "jobs",
        ["user_id", "generator", *(sa.text(part) for part in TURN), "rank", "id"],
        postgresql_where=sa.text(QUEUED),
    )


def downgrade() -> None:
    op.drop_index("jobs_waiting_by_user", "jobs")
    op.create_index(
        "jobs_waiting_by_user",
        "jobs",
        ["user_id", "generator"],
        postgresql_where=sa.text(QUEUED),
    )
    op.drop_index("jobs_parked", "jobs")
    op.drop_index("jobs_running_by_user", "jobs")
    op.drop_column("jobs", "parked_at")
    for name in ("max_running_jobs", "max_waiting_jobs"):
        op.drop_constraint(f"{name}_not_negative", "users")
        op.drop_column("users", name)
    op.drop_column("users", "plan")
