"""The stores of the tests: Postgres without what costs time there, and those of the Ray side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from db.redis.client import read_events
from db.settings import StoreSettings
from deployments.stores import Stores


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


@asynccontextmanager
async def opened(settings: StoreSettings) -> AsyncIterator[Stores]:
    stores = Stores.open(settings)
    try:
        yield stores
    finally:
        await stores.close()


async def events(stores: Stores, job_id: str) -> list[dict[str, Any]]:
    return [event for _, event in await read_events(stores.redis, job_id, "0-0")]
