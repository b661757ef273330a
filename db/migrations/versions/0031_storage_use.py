"""How many bytes each user's files take, counted by the database itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

# For a statement, not for each row: an erasure deletes all files of a user at once. Users in their
# order, so that two statements never wait for each other.
_COUNT = """
    INSERT INTO storage_use AS kept (user_id, bytes)
    SELECT user_id, sum(bytes) FROM ({moved}) AS moved
    GROUP BY user_id HAVING sum(bytes) <> 0 ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET bytes = kept.bytes + EXCLUDED.bytes
"""
_CAME = "SELECT user_id, bytes FROM came WHERE deleted_at IS NULL"
_WENT = "SELECT user_id, -bytes AS bytes FROM went WHERE deleted_at IS NULL"
_TRIGGERS = {
    "insert": ("INSERT", "NEW TABLE AS came", _CAME),
    "update": ("UPDATE", "OLD TABLE AS went NEW TABLE AS came", f"{_CAME} UNION ALL {_WENT}"),
    "delete": ("DELETE", "OLD TABLE AS went", _WENT),
}


def upgrade() -> None:
    op.create_table(
        "storage_use",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id"),
    )
    for name, (event, tables, moved) in _TRIGGERS.items():
        op.execute(f"""
            CREATE FUNCTION count_storage_on_{name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                {_COUNT.format(moved=moved)};
                RETURN NULL;
            END
            $$
        """)
        op.execute(f"""
            CREATE TRIGGER storage_use_{name} AFTER {event} ON files REFERENCING {tables}
            FOR EACH STATEMENT EXECUTE FUNCTION count_storage_on_{name}()
        """)
    # After the triggers, which lock the table against those who write: none is counted twice.
    op.execute("""
        INSERT INTO storage_use (user_id, bytes)
        SELECT user_id, sum(bytes) FROM files WHERE deleted_at IS NULL GROUP BY user_id
    """)


def downgrade() -> None:
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER storage_use_{name} ON files")
        op.execute(f"DROP FUNCTION count_storage_on_{name}()")
    op.drop_table("storage_use")
