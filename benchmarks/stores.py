"""Stores of a benchmark's own: real servers, gone with it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from billing import ledger
from db.accounts import users
from db.embedded.supervisor import EmbeddedServers
from db.ids import new_id
from db.migrate import upgrade
from db.settings import StoreSettings
from deployments.catalog import load_catalog
from serve_app.http.metrics import Metrics
from serve_app.resources import Clients, close_clients, open_clients
from serve_app.settings import AuthSettings, LimitSettings, Settings

GENERATOR = "image"
INPUT = {"prompt": "a small red star on a white background"}
USERS = 100
PLENTY = 10**9
SECRET = "of a benchmark whose servers end with it"


@contextmanager
def own_stores() -> Iterator[StoreSettings]:
    """Empty ones, at the newest schema. Logs are quiet: a line for each submit is what operators
    want, and not who reads a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with TemporaryDirectory(prefix="atl-", dir="/tmp") as folder:
        servers = EmbeddedServers(Path(folder))
        try:
            servers.start()
            environment = servers.environment()
            upgrade(environment["DATABASE_URL"])
            yield StoreSettings(**{"MONGODB_URL": None, **environment})
        finally:
            servers.stop()


@asynccontextmanager
async def opened(stores: StoreSettings) -> AsyncIterator[Clients]:
    """What an ingress replica has, with one generator and nothing that generates."""

    async def unknown() -> None:
        return None

    settings = Settings(stores, AuthSettings(JWT_SECRET=SECRET), LimitSettings())
    clients = open_clients(
        settings, load_catalog([f"deployments.generators.{GENERATOR}"]), Metrics(), unknown
    )
    try:
        yield clients
    finally:
        await close_clients(clients)


async def new_users(clients: Clients) -> list[str]:
    """The ids of users with credits and turns for anything."""
    found = []
    for _ in range(USERS):
        async with clients.sessions.begin() as session:
            user = await users.add(session, f"{new_id('u')}@example.com".lower(), "no password")
            assert user is not None
            await ledger.grant(session, user.id, PLENTY, new_id("bench"), "plenty")
            user.max_running_jobs = PLENTY  # never reached, and yet counted at every claim
            found.append(user.id)
    return found
