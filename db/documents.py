"""A document per job (steps, timings, model versions, seeds, logs), in MongoDB or in Postgres.

Both implement the same contract (``tests/contract/test_job_documents.py``): JSON values only,
merged at the top level. Every change is one atomic statement: no writer loses another's change.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from sqlalchemy import Table, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.document_fields import checked_fields
from db.errors import translate_connection_errors
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import JobDocument

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
        # Its driver is 8 MB in each of a dozen processes, and few have a MongoDB.
        from db.mongo_documents import MongoDocuments

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
        row = {"of_job": job_id, "fields": checked_fields(fields)}
        with translate_connection_errors("postgres", *_POSTGRES_DOWN):
            async with self._sessions.begin() as session:
                await session.execute(_MERGE, row)

    async def delete(self, job_id: str) -> None:
        with translate_connection_errors("postgres", *_POSTGRES_DOWN):
            async with self._sessions.begin() as session:
                await session.execute(delete(JobDocument).where(JobDocument.job_id == job_id))

    async def close(self) -> None:
        """Do nothing: the caller that made the sessions closes them."""
