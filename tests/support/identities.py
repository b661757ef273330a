"""Somebody with a key and a log-in, and whether an API keeps whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from db.accounts import users
from db.ids import new_id
from serve_app.auth import api_keys, refresh
from serve_app.auth.identity import authenticate_secret
from serve_app.http.errors import InvalidToken
from tests.support.http import World
from tests.support.waiting import until


@dataclass(frozen=True)
class Somebody:
    """A user without credits, of whom everything can be deleted, with a key and a log-in."""

    id: str
    key: str
    token: str


async def somebody(api: World, **more: Any) -> Somebody:
    async with api.sessions.begin() as session:
        user = await users.add(session, f"{new_id('s')}@example.com".lower(), "no password")
        assert user is not None
        _, key = await api_keys.create_api_key(session, user.id, "a", ["jobs:read"], **more)
        login = await refresh.issue(session, user.id, 3600)
    return Somebody(user.id, key, api.clients.tokens.sign(user.id, login.family_id))


@contextmanager
def statements(api: World) -> Iterator[list[str]]:
    """What is asked of Postgres, less what ``api`` asks of itself."""
    found: list[str] = []

    def note(*executed: Any) -> None:
        if "pg_notify" not in executed[2]:
            found.append(executed[2])

    event.listen(api.clients.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(api.clients.engine.sync_engine, "before_cursor_execute", note)


async def is_kept(api: World, secret: str) -> bool:
    with statements(api) as found:
        await authenticate_secret(api.clients, secret)
    return not found


async def keep(api: World, *secrets: str) -> None:
    """Have ``api`` keep whose these are."""
    await until(lambda: api.clients.identities.is_used)
    for secret in secrets:
        await authenticate_secret(api.clients, secret)
        assert await is_kept(api, secret)


async def is_refused(api: World, secret: str) -> bool:
    try:
        await authenticate_secret(api.clients, secret)
    except InvalidToken:
        return True
    return False


async def execute(engine: AsyncEngine, statement: str) -> None:
    """Execute it as a person with ``psql`` would."""
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def listener_pids(api: World) -> list[int]:
    """The backends of those who listen to changes."""
    listens = text(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND query = 'LISTEN identities'"
    )
    async with api.sessions() as session:
        return list(await session.scalars(listens))
