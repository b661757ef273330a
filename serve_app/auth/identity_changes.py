"""Hear from Postgres whose keys, log-ins, role or plan were changed, and forget these.

Triggers tell it in the transaction of the change (migration 0032), whoever writes: this process,
another ingress, maintenance, the operator's command, or a person with ``psql``. An ingress sends
itself a word by another connection every two seconds. What comes back proves that all changes
before it were heard; while nothing comes back, nothing that is kept is used. So it is when the
connection is lost, with or without an error, and behind a proxy that lends connections for a
transaction.
"""

from __future__ import annotations

import asyncio
import secrets
import time

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from db.notifications import listening
from db.retries import retry_context
from db.session import Sessions
from serve_app.auth.identity_cache import IdentityCache

log = structlog.get_logger()

CHANNEL = "identities"
# A payload that begins so is no user's id.
PING = "ping "
PING_INTERVAL_S = 2.0
# A ping that is not heard for so long will not be. The cache is out of use before.
PATIENCE_S = 10.0
FIRST_RETRY_S = 0.5
MAX_RETRY_S = 30.0


class IdentityChanges:
    """Keeps ``cache`` right while :meth:`run` runs; without it nothing that is kept is used."""

    def __init__(self, engine: AsyncEngine, statements: Sessions, cache: IdentityCache) -> None:
        self._engine = engine
        self._statements = statements
        self._cache = cache
        self._is_heard = False

    async def run(self) -> None:
        """Listen until canceled, and begin anew when the connection is lost; return at once if
        nothing is to be kept."""
        while self._cache.is_wanted:
            async for attempt in retry_context(
                on=Exception,
                attempts=None,
                timeout=None,
                wait_initial=FIRST_RETRY_S,
                wait_max=MAX_RETRY_S,
            ):
                with attempt:
                    await self._listen()

    async def _listen(self) -> None:
        """Hear changes until the connection is lost.

        Raises:
            Exception: it was lost before anything was heard, so that the next attempt should wait.
        """
        name = f"{PING}{secrets.token_hex(8)} "
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group, listening(self._engine, CHANNEL) as payloads:
                self._cache.clear()  # of what was looked up before it listened
                answered = asyncio.Event()
                group.create_task(self._keep_pinging(name, answered))
                while True:
                    self._hear(await anext(payloads), name, answered)
        except* Exception as errors:
            failure = errors.exceptions[0]
        finally:
            self._cache.stop()
            was_heard, self._is_heard = self._is_heard, False
        assert failure is not None, "without one it goes on until canceled"
        what = "identity_cache_off" if was_heard else "identity_changes_unheard"
        log.warning(what, error=type(failure).__name__)
        if not was_heard:
            raise failure

    def _hear(self, payload: str, name: str, answered: asyncio.Event) -> None:
        if payload.startswith(name):
            self._cache.heard_all_before(float(payload.removeprefix(name)))
            answered.set()
            if not self._is_heard:
                self._is_heard = True
                log.info("identity_cache_on")
        elif payload and not payload.startswith(PING):
            self._cache.forget(payload)
        elif not payload:
            self._cache.clear()

    async def _keep_pinging(self, name: str, answered: asyncio.Event) -> None:
        while True:
            answered.clear()
            async with asyncio.timeout(PATIENCE_S):
                ping = select(func.pg_notify(CHANNEL, f"{name}{time.monotonic()!r}"))
                async with self._statements() as session:
                    await session.execute(ping)
                await answered.wait()
            await asyncio.sleep(PING_INTERVAL_S)
