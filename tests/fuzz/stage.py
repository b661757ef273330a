"""The API over stores of its own, and who asks: nobody, a customer, an administrator."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from sqlalchemy import update

from db.embedded.supervisor import EmbeddedServers
from db.migrate import upgrade
from db.settings import StoreSettings
from db.tables import User
from deployments.messaging import http_client
from tests.support.http import World, served

# Nobody waits for a job here: none is made.
WAIT_S = 0.1
SCOPES = ["jobs:write", "jobs:read", "files", "billing", "admin"]
SETTINGS: dict[str, Any] = {"RATE_LIMIT_PER_MINUTE": 10**9, "ACCESS_TOKEN_SECONDS": 24 * 3600}


@dataclass(frozen=True)
class Visitor:
    """Who asks: the headers that say so, and the calls that would end the visit."""

    name: str
    headers: dict[str, str]
    left_out: Sequence[str] = ()


@asynccontextmanager
async def api_over(stores: StoreSettings) -> AsyncIterator[tuple[str, list[Visitor]]]:
    """The address of an API over ``stores``, and its visitors."""
    nowhere = http_client.RequestFailed("nothing outside is asked here")
    with (
        mock.patch("serve_app.jobs.read.MAX_WAIT_S", WAIT_S),
        mock.patch.object(http_client, "_resolve_public_address", side_effect=nowhere),
    ):
        async with served(stores, **SETTINGS) as world:
            assert world.door is not None
            yield world.door.url, await _visitors(world)


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[str, list[Visitor]]]:
    """The same over stores that are started for it, and gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="atl-fuzz-", dir="/tmp"))
    home.chmod(0o711)  # Postgres runs as another user where this runs as root
    servers = EmbeddedServers(home)
    try:
        servers.start()
        stores = StoreSettings(**{"MONGODB_URL": None, **servers.environment()})
        upgrade(stores.database_url.get_secret_value())
        async with api_over(stores) as staged:
            yield staged
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


async def _visitors(world: World) -> list[Visitor]:
    customer, admin = await world.guest(), await world.guest()
    async with world.sessions.begin() as session:
        await session.execute(update(User).where(User.id == admin.id).values(role="admin"))
    key = await admin.post("/v1/api-keys", json={"name": "fuzz", "scopes": SCOPES})
    assert key.status_code == 201, key.text
    return [
        Visitor("nobody", {}),
        Visitor("customer", customer.headers, ["/v1/auth/logout"]),
        Visitor("administrator", {"X-API-Key": key.json()["key"]}, ["/v1/api-keys/{key_id}"]),
    ]
