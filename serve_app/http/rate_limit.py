"""Rate limit: a fixed window of a minute, counted in Redis; without Redis there is no limit.

Billing and correctness never depend on it, so losing a counter is better than refusing clients.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.batching import Batched
from db.redis.client import PREFIX

log = structlog.get_logger()

WINDOW_S = 60
# A request waits no longer than this for its counter, and after a failure not at all for a while.
TIMEOUT_S = 0.25
PAUSE_S = 5.0


@dataclass(frozen=True)
class Allowance:
    """The remaining requests of a window, and the seconds until it ends."""

    limit: int
    remaining: int
    resets_in_s: int
    exceeded: bool

    def headers(self) -> dict[str, str]:
        """Return the headers of the IETF draft "RateLimit header fields for HTTP"."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"default";r={self.remaining};t={self.resets_in_s}',
        }


class RateLimiter:
    """Counts requests by subject (a user, an address being logged in to)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._increment = Batched(self._increment_all)
        self._paused_until = 0.0

    async def take(self, subject: str, limit: int) -> Allowance:
        """Count one request of ``subject`` against ``limit`` a minute."""
        now = time.time()
        resets_in = WINDOW_S - int(now) % WINDOW_S
        used = await self._count(f"{PREFIX}:rate:{subject}:{int(now) // WINDOW_S}")
        return Allowance(limit, max(0, limit - used), resets_in, exceeded=used > limit)

    async def _count(self, key: str) -> int:
        if time.monotonic() < self._paused_until:
            return 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._increment(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._paused_until = time.monotonic() + PAUSE_S
            log.warning("rate_limit_not_counted", error=type(error).__name__)
            return 1

    async def _increment_all(self, keys: Sequence[str]) -> list[int]:
        async with asyncio.timeout(TIMEOUT_S), self._redis.pipeline() as pipe:
            for key in keys:
                pipe.incr(key)
                pipe.expire(key, WINDOW_S * 2)
            return [int(used) for used in (await pipe.execute())[::2]]
