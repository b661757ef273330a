"""Confirm in the outbox what was pushed to the queue: many at a time, a moment later.

A transaction of its own for each is four round trips and a commit more. What is left when the
process ends, maintenance pushes once more, which changes nothing.
"""

from __future__ import annotations

import asyncio

import structlog

from db.outbox import rows as outbox
from db.redis.queue import message_id
from db.session import Sessions

log = structlog.get_logger()

# Far below the time that maintenance leaves the sender (``outbox.SENDER_HEAD_START``).
PAUSE_S = 0.2
MOST_AT_A_TIME = 1000
MOST_KEPT = 10_000  # while Postgres is away


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
        """Confirm what was pushed until now; what fails is tried again with the next."""
        names, self._pushed = self._pushed, []
        self._has_some.clear()
        for start in range(0, len(names), MOST_AT_A_TIME):
            try:
                async with self._sessions.begin() as session:
                    some = names[start : start + MOST_AT_A_TIME]
                    await outbox.confirm_all(session, outbox.ENQUEUE, some)
            except BaseException as error:
                # Maintenance confirms, too, when it has pushed them again: none of them is needed.
                self._pushed = [*names[start:], *self._pushed][-MOST_KEPT:]
                if not isinstance(error, Exception):  # the process ends: the last call has them
                    raise
                left = len(self._pushed)
                log.warning("pushes_not_confirmed", count=left, error=type(error).__name__)
                return
