"""Let operations run side by side, and a suspect alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Admission:
    """Admits operations of one event loop.

    A suspect is an operation of a job whose attempt was lost before. It runs alone: it cannot crash
    the process under other jobs, and if the process crashes, it is the cause. Who comes while a
    suspect waits is admitted after it, so that a suspect never starves.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # held by a suspect until it has ended
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def admit(self, *, alone: bool) -> AsyncIterator[None]:
        """Hold a place inside the ``with``; the only one if ``alone``."""
        if alone:
            async with self._turn:
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
