"""The Postgres connection pool, and what a session is here.

Functions in ``db`` and ``billing`` take a session and never commit: the caller owns the
transaction (``async with sessions.begin() as session``), so that money and job state change in one.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

Sessions = async_sessionmaker[AsyncSession]


DRIVER = "postgresql+psycopg://"


def with_driver(url: str) -> str:
    """The plain ``postgresql://`` that every provider hands out, as this package connects.

    Raises:
        ValueError: it is no address of a Postgres.
    """
    for plain in ("postgres://", "postgresql://"):
        if url.startswith(plain):
            return DRIVER + url.removeprefix(plain)
    if not url.startswith(DRIVER):
        raise ValueError("must be a postgresql:// address")
    return url


def open_engine(url: str, pool_size: int = 10) -> AsyncEngine:
    """A pool for ``postgresql://...``; dead connections are found and replaced.

    READ COMMITTED is enough: every change that could race is a guarded UPDATE or comes after the
    lock on the user's row.
    """
    return create_async_engine(
        with_driver(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 3, "options": "-c timezone=UTC -c lock_timeout=10s"},
    )


def make_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)
