"""When a job is to be canceled by itself; an index for the webhooks of a user."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True))
    # The tables are large, and in use: the column's lock ends here, and indexes take none.
    with op.get_context().autocommit_block():
        op.create_index(
            "jobs_to_cancel",
            "jobs",
            ["cancel_at"],
            postgresql_where=sa.text("cancel_at IS NOT NULL AND finished_at IS NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "outbox_webhooks_by_user",
            "outbox",
            [sa.text("(payload ->> 'user_id')"), sa.text("id DESC")],
            postgresql_where=sa.text("topic = 'webhook'"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.drop_index("outbox_webhooks_by_user", "outbox")
    op.drop_index("jobs_to_cancel", "jobs")
    op.drop_column("jobs", "cancel_at")
