"""Which jobs at work somebody watches: only their pictures are previewed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.asyncio import Redis

from db.redis.client import get_watched

CHECK_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


class WatchedJobs:
    """Asks Redis about the jobs at work. For one event loop, but for ``is_watched``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._at_work: Counter[str] = Counter()
        self._watched: frozenset[str] = frozenset()

    @contextmanager
    def at_work(self, job_id: str) -> Iterator[None]:
        """Ask about the job for as long as the block runs."""
        self._at_work[job_id] += 1
        try:
            yield
        finally:
            self._at_work[job_id] -= 1
            if not self._at_work[job_id]:
                del self._at_work[job_id]

    def is_watched(self, job_id: str) -> bool:
        """Whether somebody watched the job a moment ago. For any thread."""
        return job_id in self._watched

    async def keep_current(self) -> None:
        """Ask again and again, until canceled. Without Redis nothing is previewed."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                self._watched = frozenset(await get_watched(self._redis, self._at_work))
            except Exception as error:
                log.debug("watched_jobs_unknown", error=type(error).__name__)
                self._watched = frozenset()
