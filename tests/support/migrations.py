"""Alembic's commands that only tests give: the service itself only upgrades."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from db.migrate import MIGRATIONS


def downgrade(database_url: str, revision: str = "base") -> None:
    """Undo migrations down to ``revision``; what they added is lost."""
    with _config(database_url) as config:
        command.downgrade(config, revision)


def check(database_url: str) -> None:
    """Raises alembic.util.exc.CommandError if ``db.tables`` says something else than the schema."""
    with _config(database_url) as config:
        command.check(config)


@contextmanager
def _config(database_url: str) -> Iterator[Config]:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        config.attributes["connection"] = connection
        yield config
