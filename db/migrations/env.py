"""Alembic's entry: runs on the connection ``db.migrate`` hands over, or on ``DATABASE_URL``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from db.tables import Base


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    if context.is_offline_mode():
        raise SystemExit("migrations need a database: they check what they change")
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
        return
    from db.migrate import address_from_environment, locked_connection

    with locked_connection(address_from_environment()) as connection:
        run(connection)


main()
