"""An audit log that only grows and shows when it was changed; API keys that expire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Every action is `<what it is about>.<what happened>` from now on.
RENAMED = {
    "add_account": "user.created",
    "grant": "user.grant",
    "new_password": "user.password",
    "persona_consent": "persona.consent",
    "persona_deleted": "persona.deleted",
    "set_role": "user.role",
}


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))

    for old, new in RENAMED.items():
        op.execute(f"UPDATE audit_log SET action = '{new}' WHERE action = '{old}'")
    # db.operations.audit_chain computes the same in Python. Each field is hashed by itself, so
    # that no two rows give the same bytes by moving text from one field to the next.
    op.execute("""
        CREATE FUNCTION audit_log_hash(entry audit_log, before text) RETURNS text
        LANGUAGE sql STABLE AS $$
            SELECT encode(sha256(string_agg(sha256(convert_to(field, 'UTF8')), ''::bytea
                                            ORDER BY place)), 'hex')
            FROM unnest(ARRAY[
                before, entry.id::text, entry.actor, entry.action, entry.subject,
                entry.detail::text,
                to_char(entry.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ]) WITH ORDINALITY AS fields (field, place)
        $$
    """)
    op.add_column("audit_log", sa.Column("hash", sa.Text(), nullable=True))
    op.execute("""
        DO $$
        DECLARE
            entry audit_log;
            head text := '';
        BEGIN
            FOR entry IN SELECT * FROM audit_log ORDER BY id LOOP
                head := audit_log_hash(entry, head);
                UPDATE audit_log SET hash = head WHERE id = entry.id;
            END LOOP;
        END
        $$
    """)
    op.alter_column("audit_log", "hash", nullable=False)
    op.execute("ALTER TABLE audit_log ALTER COLUMN id DROP IDENTITY")
    # The lock lasts until the transaction ends: the next writer reads the row that this one
    # committed. Without it two rows would follow the same one; the primary key would refuse one.
    op.execute("""
        CREATE FUNCTION audit_log_is_chained() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            last audit_log;
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtext('audit_log'));
            SELECT * INTO last FROM audit_log ORDER BY id DESC LIMIT 1;
            NEW.id := coalesce(last.id, 0) + 1;
            NEW.created_at := clock_timestamp();
            NEW.hash := audit_log_hash(NEW, coalesce(last.hash, ''));
            RETURN NEW;
        END
        $$
    """)
    op.execute("""
        CREATE TRIGGER audit_log_is_chained BEFORE INSERT ON audit_log
        FOR EACH ROW EXECUTE FUNCTION audit_log_is_chained()
    """)
    op.execute("""
        CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'audit_log is append-only'
                USING ERRCODE = 'restrict_violation', CONSTRAINT = 'audit_log_is_append_only';
        END
        $$
    """)
    op.execute("""
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
    """)
    op.create_index("audit_log_by_actor", "audit_log", ["actor", "id"])


def downgrade() -> None:
    op.drop_index("audit_log_by_actor", "audit_log")
    op.execute("DROP TRIGGER audit_log_is_append_only ON audit_log")
    op.execute("DROP TRIGGER audit_log_is_chained ON audit_log")
    for old, new in RENAMED.items():
        op.execute(f"UPDATE audit_log SET action = '{old}' WHERE action = '{new}'")
    op.execute("DROP FUNCTION audit_log_is_append_only()")
    op.execute("DROP FUNCTION audit_log_is_chained()")
    op.execute("DROP FUNCTION audit_log_hash(audit_log, text)")
    op.drop_column("audit_log", "hash")
    op.execute("ALTER TABLE audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY")
    op.execute("""
        SELECT setval(pg_get_serial_sequence('audit_log', 'id'), coalesce(max(id), 0) + 1, false)
        FROM audit_log
    """)
    op.drop_column("api_keys", "expires_at")
