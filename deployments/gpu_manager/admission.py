"""Let operations run side by side, and a suspect alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE_S = 60.0


class Admission:
    """Admits operations of one event loop.

    A suspect is an operation of a job whose attempt was lost before. It runs alone: it cannot crash
    the process under other jobs, and if the process crashes, it is the cause. Who comes while a
    suspect waits is admitted after it, so that a suspect does not starve. It waits for
    ``patience_s`` at most: a long operation must not hold up everybody through it.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._turn = asyncio.Lock()  # held by a suspect until it has ended
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def admit(self, *, alone: bool) -> AsyncIterator[None]:
        """Hold a place inside the ``with``; the only one if ``alone``.

        Raises:
            TimeoutError: others ran on for too long; ask again later.
        """
        if alone:
            async with self._turn:
                async with asyncio.timeout(self._patience_s):
                    await self._idle.wait()
                yield
            return
        async with self._turn:
            self._running += 1
            self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
