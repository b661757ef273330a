"""Confirm in the outbox what was pushed to the queue: many at a time, a moment later.

A transaction of its own for each is four round trips and a commit more. What is left when the
process ends, maintenance pushes once more, which changes nothing.
"""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.outbox import rows as outbox
from db.redis.queue import message_id
from db.session import Sessions

log = structlog.get_logger()

# Far below the time that maintenance leaves the sender (``outbox.SENDER_HEAD_START``).
PAUSE_S = 0.2


class PushConfirmations:
    """Collects the jobs that were pushed, and confirms them while :meth:`run` runs."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._pushed: list[str] = []
        self._has_some = asyncio.Event()

    def add(self, job_id: str) -> None:
        """Have the push of a job's first attempt confirmed soon."""
        self._pushed.append(message_id(job_id, 1))
        self._has_some.set()

    async def run(self) -> None:
        """Confirm until canceled."""
        while True:
            await self._has_some.wait()
            await asyncio.sleep(PAUSE_S)
            await self.confirm()

    async def confirm(self) -> None:
        """Confirm what was pushed until now; if this fails, maintenance pushes again: harmless."""
        names, self._pushed = self._pushed, []
        self._has_some.clear()
        if not names:
            return
        try:
            async with self._sessions.begin() as session:
                await outbox.confirm_all(session, outbox.ENQUEUE, names)
        except (SQLAlchemyError, OSError) as error:
            log.warning("pushes_not_confirmed", count=len(names), error=type(error).__name__)
