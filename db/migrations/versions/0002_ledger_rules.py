"""The ledger's rules, held by the database itself: balanced, and append-only."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Checked at commit, because the two entries of a movement cannot arrive at the same instant.
    op.execute("""
        CREATE FUNCTION ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            movement text := to_jsonb(NEW) ->> TG_ARGV[0];
            total numeric;
            parts bigint;
        BEGIN
            SELECT coalesce(sum(amount), 0), count(*) INTO total, parts
                FROM entries WHERE transaction_id = movement;
            IF total <> 0 OR parts < 2 THEN
                RAISE EXCEPTION 'transaction % has % entries that come to %', movement, parts, total
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balances';
            END IF;
            RETURN NULL;
        END
        $$
    """)
    op.execute("""
        CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT ON transactions
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balances('id')
    """)
    op.execute("""
        CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT ON entries
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balances('transaction_id')
    """)
    op.execute("""
        CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_is_append_only';
        END
        $$
    """)
    for table in ("transactions", "entries"):
        op.execute(f"""
            CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()
        """)


def downgrade() -> None:
    for table in ("transactions", "entries"):
        op.execute(f"DROP TRIGGER ledger_is_append_only ON {table}")
        op.execute(f"DROP TRIGGER ledger_balances ON {table}")
    op.execute("DROP FUNCTION ledger_is_append_only()")
    op.execute("DROP FUNCTION ledger_balances()")
