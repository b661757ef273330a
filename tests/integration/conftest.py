"""A shop that is open, for the tests of several files."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from tests.support.paying import Shop, shop


@pytest.fixture
async def open_shop(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> AsyncIterator[Shop]:
    async with shop(store_settings) as found:
        yield found
