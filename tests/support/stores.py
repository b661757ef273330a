"""The stores of the Ray side, opened on the servers of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from db.redis.client import read_events
from db.settings import StoreSettings
from deployments.stores import Stores


@asynccontextmanager
async def opened(settings: StoreSettings) -> AsyncIterator[Stores]:
    stores = Stores.open(settings)
    try:
        yield stores
    finally:
        await stores.close()


async def events(stores: Stores, job_id: str) -> list[dict[str, Any]]:
    return [event for _, event in await read_events(stores.redis, job_id, "0-0")]
