"""Create the bucket at a first start, before the tasks that look into it.

The ingress creates and configures it, too, at about the same time: which of the two is first does
not matter.
"""

from __future__ import annotations

import asyncio

import structlog

from db.errors import StoreUnavailable
from db.object_store import ObjectStore

TIMEOUT_S = 10.0
RETRY_S = 0.5

log = structlog.get_logger(__name__)


async def create_bucket(objects: ObjectStore) -> None:
    """Create the bucket if it is not there, once at the start: one that goes away later is missed.

    Gives up after a while, and says so: the tasks then tell what is wrong themselves.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    return await objects.create()
                except StoreUnavailable:
                    await asyncio.sleep(RETRY_S)
    except Exception as error:
        log.warning("bucket_not_created", error=type(error).__name__)
