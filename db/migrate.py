"""Migrate a database to the newest schema; several processes may call it at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from pydantic_settings import BaseSettings
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from db.errors import translate_connection_errors
from db.session import with_driver

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_ID = 4_172_006_301  # any number that all versions of Atelier share
LOCK_SECONDS = 120.0


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply missing migrations; waits while another process migrates.

    Raises:
        StoreUnavailable: the database cannot be reached.
        TimeoutError: another process has been migrating for two minutes.
    """
    with locked_connection(database_url) as connection:
        command.upgrade(_config(connection), revision)


def address_from_environment() -> str:
    """Return ``DATABASE_URL`` for the ``alembic`` command; reads the environment when called.

    Raises:
        ValueError: it is no address of Postgres.
    """

    class Address(BaseSettings):
        DATABASE_URL: str

    return with_driver(Address().DATABASE_URL)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def locked_connection(database_url: str) -> Iterator[Connection]:
    """Yield a connection for migrations while a second one locks out other processes.

    Raises:
        StoreUnavailable: the database cannot be reached.
        TimeoutError: another process has been migrating for two minutes.
    """
    engine = create_engine(database_url, poolclass=NullPool, connect_args={"connect_timeout": 3})
    with translate_connection_errors("postgres", OperationalError):
        guard = engine.connect()
    with guard.execution_options(isolation_level="AUTOCOMMIT"):
        _lock(guard)
        with engine.connect() as connection:
            yield connection


def _lock(guard: Connection) -> None:
    """Poll for the lock: a session that waits inside Postgres would block a concurrent index
    build of the process that migrates."""
    deadline = time.monotonic() + LOCK_SECONDS
    while not guard.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK_ID}):
        if time.monotonic() > deadline:
            raise TimeoutError("another process is still migrating the database")
        time.sleep(0.1)
