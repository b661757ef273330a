"""The stores of the tests: Postgres without what costs time there, and those of the Ray side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db.redis.client import read_events
from db.settings import StoreSettings
from db.tables import Base
from deployments.stores import Stores

_TABLES = list(Base.metadata.tables)
# Beyond it a table is truncated: deleting row by row takes longer, and leaves pages to scan.
_LARGE_BYTES = 2**20
_FULL = " UNION ALL ".join(
    f"SELECT '{name}' AS name, pg_relation_size('{name}') > {_LARGE_BYTES} AS is_large"
    f" WHERE EXISTS (SELECT FROM {name})"
    for name in _TABLES
)
_COUNT_ANEW = (
    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)"
    " FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL"
)


def make_postgres_quick(url: str) -> None:
    """Take what a Postgres need not have whose data end with the tests.

    Commits need not survive a power cut. And a log-in hashes the password 4,096 times by default,
    on either side: milliseconds for each of the thousands of connections that tests open.
    """
    plain = url.replace("+psycopg", "")
    known = conninfo_to_dict(plain)
    with psycopg.connect(plain, autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off"):
            connection.execute(sql.SQL("ALTER SYSTEM SET " + setting))
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SET scram_iterations = 1")
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(str(known["user"])), sql.Literal(known["password"])
            )
        )


async def empty(connection: AsyncConnection) -> None:
    """Remove all rows, and count anew; waits for transactions that still write.

    To truncate all tables takes longer than most tests, and most tables are empty already.
    """
    names = ", ".join(_TABLES)
    # The audit log and foreign keys refuse it otherwise.
    await connection.execute(text("SET LOCAL session_replication_role = replica"))
    await connection.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
    full = (await connection.execute(text(_FULL))).all()
    if any(is_large for _, is_large in full):
        await connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        return
    for name, _ in full:
        await connection.execute(text(f"DELETE FROM {name}"))
    await connection.execute(text(_COUNT_ANEW))


@asynccontextmanager
async def opened(settings: StoreSettings) -> AsyncIterator[Stores]:
    stores = Stores.open(settings)
    try:
        yield stores
    finally:
        await stores.close()


async def events(stores: Stores, job_id: str) -> list[dict[str, Any]]:
    return [event for _, event in await read_events(stores.redis, job_id, "0-0")]
