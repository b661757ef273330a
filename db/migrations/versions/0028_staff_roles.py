"""The roles of staff: support and ops, between a user and an administrator."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("role_known", "users")
    op.create_check_constraint("role_known", "users", "role IN ('user', 'support', 'ops', 'admin')")


def downgrade() -> None:
    # Whoever had one of these roles has fewer powers then, never more.
    op.execute(sa.text("UPDATE users SET role = 'user' WHERE role IN ('support', 'ops')"))
    op.drop_constraint("role_known", "users")
    op.create_check_constraint("role_known", "users", "role IN ('user', 'admin')")
