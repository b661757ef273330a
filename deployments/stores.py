"""The open stores of a replica or of maintenance. Opening them does not connect yet."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from db.documents import JobDocuments, open_documents
from db.object_store import ObjectStore
from db.redis.client import open_redis
from db.session import Sessions, make_sessions, make_statement_sessions, open_engine
from db.settings import StoreSettings

CONNECTIONS = 8  # to Postgres, at most


@dataclass(frozen=True)
class Stores:
    """Postgres, Redis, the bucket and the job documents.

    ``statements`` are the sessions for what is one statement (``db.session``).
    """

    engine: AsyncEngine
    sessions: Sessions
    statements: Sessions
    redis: Redis
    objects: ObjectStore
    documents: JobDocuments

    @classmethod
    def open(cls, settings: StoreSettings) -> Stores:
        """Every store connects when first used, so that a replica starts while one is down."""
        engine = open_engine(settings.database_url.get_secret_value(), connections=CONNECTIONS)
        statements = make_statement_sessions(engine)
        return cls(
            engine=engine,
            sessions=make_sessions(engine),
            statements=statements,
            redis=open_redis(settings.redis_url.get_secret_value()),
            objects=ObjectStore.open(settings),
            documents=open_documents(settings, statements),
        )

    async def close(self) -> None:
        await self.documents.close()
        await self.redis.aclose()
        await self.engine.dispose()
