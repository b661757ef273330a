"""A document per job (steps, timings, model versions, seeds, logs), in MongoDB or in Postgres.

Both implement the same contract (``tests/contract/test_job_documents.py``): JSON values only,
merged at the top level. Every change is one atomic statement: no writer loses another's change.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, DuplicateKeyError
from sqlalchemy import Table, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import translate_connection_errors
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import JobDocument

COLLECTION = "job_metadata"

_POSTGRES_DOWN = (OperationalError, InterfaceError, PoolTimeout)


class JobDocuments(Protocol):
    """The store of documents: metadata of a job in addition to its row.

    Field names are non-empty, without ``.`` and without a leading ``$``; values are JSON with
    integers of at most 64 bits. Each call raises ValueError for anything else, and
    :class:`db.errors.StoreUnavailable` if the store cannot be reached.
    """

    async def get(self, job_id: str) -> dict[str, Any] | None:
        """Return the document, or None if nothing was written."""
        ...

    async def merge(self, job_id: str, fields: dict[str, Any]) -> None:
        """Set top-level fields and leave the others; creates the document if there is none."""
        ...

    async def delete(self, job_id: str) -> None:
        """Delete the document; no error if there is none."""
        ...

    async def close(self) -> None: ...


def open_documents(settings: StoreSettings, sessions: Sessions) -> JobDocuments:
    """Open MongoDB if ``MONGODB_URL`` is set, else Postgres."""
    if settings.mongodb_url is not None:
        return MongoDocuments(settings.mongodb_url.get_secret_value())
    return PostgresDocuments(sessions)


_DOCUMENT = insert(cast("Table", JobDocument.__table__)).values(
    job_id=bindparam("of_job"), document=bindparam("fields", type_=JSONB)
)
_MERGE = _DOCUMENT.on_conflict_do_update(
    index_elements=[JobDocument.job_id],
    set_={
        "document": JobDocument.document.op("||")(_DOCUMENT.excluded.document),
        "updated_at": func.now(),
    },
)


class PostgresDocuments:
    """One JSONB row per job."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def get(self, job_id: str) -> dict[str, Any] | None:
        with translate_connection_errors("postgres", *_POSTGRES_DOWN):
            async with self._sessions() as session:
                return await session.scalar(
                    select(JobDocument.document).where(JobDocument.job_id == job_id)
                )

    async def merge(self, job_id: str, fields: dict[str, Any]) -> None:
        row = {"of_job": job_id, "fields": _checked(fields)}
        with translate_connection_errors("postgres", *_POSTGRES_DOWN):
            async with self._sessions.begin() as session:
                await session.execute(_MERGE, row)

    async def delete(self, job_id: str) -> None:
        with translate_connection_errors("postgres", *_POSTGRES_DOWN):
            async with self._sessions.begin() as session:
                await session.execute(delete(JobDocument).where(JobDocument.job_id == job_id))

    async def close(self) -> None:
        """Do nothing: the caller that made the sessions closes them."""


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
        changed = {f"document.{name}": value for name, value in _checked(fields).items()}
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


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields if both stores can hold them; raises ValueError otherwise."""
    for name in fields:
        if not isinstance(name, str) or not name or "." in name or name.startswith("$"):
            raise ValueError(f"not a field name: {name!r}")
    try:
        plain = json.loads(json.dumps(fields, allow_nan=False))
    except TypeError as error:
        raise ValueError(str(error)) from error
    return cast("dict[str, Any]", _plain(plain))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")  # JSONB cannot hold it, and nobody misses it
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(name): _plain(item) for name, item in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("an integer of more than 64 bits")
    return value
