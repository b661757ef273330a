"""Postgres tells whose keys, log-ins, role or plan were changed, whoever changes them."""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# What a look-up of a key or a log-in reads (serve_app.auth), and the column with the user's id.
# What is written often (a balance, the time of a use, a rotated token) is not among it.
_READ = {
    "users": ("id", ("id", "role", "plan", "disabled_at", "deleted_at")),
    "api_keys": (
        "user_id",
        ("id", "user_id", "key_hash", "scopes", "expires_at", "revoked_at"),
    ),
    "refresh_tokens": ("user_id", ("family_id", "revoked_at")),
}
_ENDED_BY_DELETION = ("users", "api_keys")


def upgrade() -> None:
    # An empty payload is everybody: there is no OLD where a table is truncated, or a row is new.
    op.execute("""
        CREATE FUNCTION notify_identity() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('identities', coalesce(to_jsonb(OLD) ->> TG_ARGV[0], ''));
            RETURN NULL;
        END
        $$
    """)
    for table, (user_id, columns) in _READ.items():
        before = ", ".join(f"OLD.{column}" for column in columns)
        after = ", ".join(f"NEW.{column}" for column in columns)
        op.execute(f"""
            CREATE TRIGGER {table}_notify_update AFTER UPDATE ON {table} FOR EACH ROW
            WHEN (({before}) IS DISTINCT FROM ({after}))
            EXECUTE FUNCTION notify_identity('{user_id}')
        """)
    # A refresh token that is deleted ends nothing, and maintenance deletes thousands.
    for table in _ENDED_BY_DELETION:
        op.execute(f"""
            CREATE TRIGGER {table}_notify_delete AFTER DELETE ON {table} FOR EACH ROW
            EXECUTE FUNCTION notify_identity('{_READ[table][0]}')
        """)
        op.execute(f"""
            CREATE TRIGGER {table}_notify_truncate AFTER TRUNCATE ON {table} FOR EACH STATEMENT
            EXECUTE FUNCTION notify_identity()
        """)
    # One that is revoked from the start ends its log-in.
    op.execute("""
        CREATE TRIGGER refresh_tokens_notify_insert AFTER INSERT ON refresh_tokens FOR EACH ROW
        WHEN (NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION notify_identity()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER refresh_tokens_notify_insert ON refresh_tokens")
    for table in _ENDED_BY_DELETION:
        op.execute(f"DROP TRIGGER {table}_notify_truncate ON {table}")
        op.execute(f"DROP TRIGGER {table}_notify_delete ON {table}")
    for table in _READ:
        op.execute(f"DROP TRIGGER {table}_notify_update ON {table}")
    op.execute("DROP FUNCTION notify_identity()")
