"""Job documents in MongoDB; see :mod:`db.documents`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, DuplicateKeyError

from db.document_fields import checked_fields
from db.errors import translate_connection_errors

COLLECTION = "job_metadata"


class MongoDocuments:
    """One document per job: ``{_id: job id, document: {...}, updated_at}``.

    The address names the database; the default is ``atelier``. It is tested with a wire-compatible
    server, not with MongoDB itself.
    """

    def __init__(self, url: str) -> None:
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            url,
            serverSelectionTimeoutMS=3000,
            connectTimeoutMS=2000,
            socketTimeoutMS=10_000,
            tz_aware=True,
        )
        self._documents = self._client.get_default_database("atelier")[COLLECTION]

    async def get(self, job_id: str) -> dict[str, Any] | None:
        with translate_connection_errors("mongodb", ConnectionFailure):
            document = await self._documents.find_one({"_id": job_id})
        return None if document is None else cast("dict[str, Any]", document.get("document", {}))

    async def merge(self, job_id: str, fields: dict[str, Any]) -> None:
        changed = {f"document.{name}": value for name, value in checked_fields(fields).items()}
        await self._change(job_id, {"$set": {**changed, "updated_at": datetime.now(UTC)}})

    async def delete(self, job_id: str) -> None:
        with translate_connection_errors("mongodb", ConnectionFailure):
            await self._documents.delete_one({"_id": job_id})

    async def close(self) -> None:
        await self._client.close()

    async def _change(self, job_id: str, change: dict[str, Any]) -> None:
        with translate_connection_errors("mongodb", ConnectionFailure):
            try:
                await self._documents.update_one({"_id": job_id}, change, upsert=True)
            except DuplicateKeyError:
                # Two first writes collided; the document exists now.
                await self._documents.update_one({"_id": job_id}, change, upsert=True)
