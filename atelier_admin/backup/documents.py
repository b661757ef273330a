"""The documents of jobs in MongoDB, one a line of extended JSON; in Postgres they need no copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bson import json_util
from pymongo import AsyncMongoClient, ReplaceOne

from db.mongo_documents import COLLECTION

DOCUMENTS = "documents.jsonl"
_AT_ONCE = 1000


async def dump_documents(url: str, to: Path) -> int:
    """Write all documents into a file; returns how many.

    Raises:
        pymongo.errors.PyMongoError: MongoDB does not answer.
    """
    count = 0
    async with _client(url) as client:
        with to.open("w", encoding="utf-8") as file:
            async for document in client.get_default_database("atelier")[COLLECTION].find():
                file.write(json_util.dumps(document) + "\n")
                count += 1
    return count


async def load_documents(url: str, path: Path) -> int:
    """Write the documents of a file back, each in place of the one with its id; returns how many.

    Raises:
        pymongo.errors.PyMongoError: MongoDB does not answer.
    """
    count = 0
    async with _client(url) as client:
        collection = client.get_default_database("atelier")[COLLECTION]
        batch: list[ReplaceOne[dict[str, Any]]] = []
        with path.open(encoding="utf-8") as file:
            for line in file:
                document = json_util.loads(line)
                batch.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
                count += 1
                if len(batch) == _AT_ONCE:
                    await collection.bulk_write(batch, ordered=False)
                    batch = []
        if batch:
            await collection.bulk_write(batch, ordered=False)
    return count


def _client(url: str) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(url, serverSelectionTimeoutMS=10_000, tz_aware=True)
