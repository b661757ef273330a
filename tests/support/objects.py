"""Whether something lies in the bucket."""

from __future__ import annotations

from db.object_store import ObjectStore


async def exists(objects: ObjectStore, key: str) -> bool:
    """Whether there is an object of exactly that key."""
    return any(found.key == key for found in await objects.list(key))
