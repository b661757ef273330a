"""Rate limit: token buckets in Redis, one for each user, API key or address and class of request.

They are kept as GCRA does ("generic cell rate algorithm"): of a bucket only the time at which it is
full again is stored, and a key that expired is a full bucket. The clock is that of Redis, so all
replicas count alike. A request that is refused takes nothing out, so who waits as long as
``Retry-After`` says is let in.

Billing and correctness never depend on it. While Redis is away, ``serve_app.http.rates`` says which
classes this process counts by itself, and which are let in.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.batching import Batched
from db.redis.client import PREFIX
from serve_app.http.rates import COUNTED_HERE, Rate, RateClass

log = structlog.get_logger()

# A request waits no longer than this for its buckets, and after a failure not at all for a while.
TIMEOUT_S = 0.25
PAUSE_S = 5.0
# Buckets that a process keeps by itself.
MAX_LOCAL = 10_000
_SECOND_US = 1_000_000

# ARGV: the number of buckets of each request after another, each with its interval and capacity in
# microseconds. For each request the answer has 1 or 0 (let in or not), and for each of its buckets
# the microseconds until it is full. %.0f: Lua would write so large a number with an exponent.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answers, argument, key = {}, 1, 1
while argument <= #ARGV do
  local buckets = tonumber(ARGV[argument])
  local levels, let_in = {}, 1
  for i = 1, buckets do
    local interval = tonumber(ARGV[argument + 2 * i - 1])
    local capacity = tonumber(ARGV[argument + 2 * i])
    local full_at = tonumber(redis.call('GET', KEYS[key + i - 1]) or now)
    levels[i] = math.min(math.max(full_at - now, 0), capacity)
    if levels[i] + interval > capacity then let_in = 0 end
  end
  answers[#answers + 1] = let_in
  for i = 1, buckets do
    if let_in == 1 then
      levels[i] = levels[i] + tonumber(ARGV[argument + 2 * i - 1])
      redis.call('SET', KEYS[key + i - 1], string.format('%.0f', now + levels[i]),
        'PX', math.ceil(levels[i] / 1000))
    end
    answers[#answers + 1] = levels[i]
  end
  argument, key = argument + 1 + 2 * buckets, key + buckets
end
return answers
"""


@dataclass(frozen=True)
class Bucket:
    """A bucket: its policy's name in the headers, whose it is (no address, no secret), its rate."""

    policy: str
    subject: str
    rate: Rate

    @property
    def key(self) -> str:
        return f"{PREFIX}:rate:{self.policy}:{self.subject}"

    @property
    def capacity_us(self) -> int:
        """The microseconds in which it fills."""
        return self.rate.capacity * self.rate.interval_us


@dataclass(frozen=True)
class Level:
    """A bucket after a request: the microseconds until it is full."""

    bucket: Bucket
    missing_us: int

    @property
    def remaining(self) -> int:
        return max(0, self.bucket.capacity_us - self.missing_us) // self.bucket.rate.interval_us

    @property
    def wait_us(self) -> int:
        """How long until it has a request to give; 0 if it has."""
        rate = self.bucket.rate
        return max(0, self.missing_us + rate.interval_us - self.bucket.capacity_us)


@dataclass(frozen=True)
class Allowance:
    """What is left of a request's buckets, and whether it was let in."""

    levels: tuple[Level, ...]
    exceeded: bool

    @property
    def retry_after_s(self) -> int:
        """After how many whole seconds the same request is let in; at least 1."""
        return max(1, *(math.ceil(level.wait_us / _SECOND_US) for level in self.levels))

    def headers(self) -> dict[str, str]:
        """Return the headers of the IETF draft "RateLimit header fields for HTTP".

        ``t`` is the number of seconds until all of the quota is there again.
        """
        policies, limits = [], []
        for level in self.levels:
            rate, name = level.bucket.rate, level.bucket.policy
            policies.append(f'"{name}";q={rate.capacity};w={rate.window_s}')
            full_in_s = math.ceil(level.missing_us / _SECOND_US)
            limits.append(f'"{name}";r={level.remaining};t={full_in_s}')
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)}


class LocalBuckets:
    """The same in this process; those used longest ago are dropped."""

    def __init__(self) -> None:
        self._full_at_us: OrderedDict[str, int] = OrderedDict()

    def take(self, buckets: Sequence[Bucket], now_us: int) -> Allowance:
        """Take one request out of each, or of none if one has none; ``now_us`` never goes back."""
        levels = [
            Level(one, min(max(self._full_at_us.get(one.key, 0) - now_us, 0), one.capacity_us))
            for one in buckets
        ]
        if any(level.wait_us for level in levels):
            return Allowance(tuple(levels), exceeded=True)
        taken = [Level(one.bucket, one.missing_us + one.bucket.rate.interval_us) for one in levels]
        for level in taken:
            self._full_at_us[level.bucket.key] = now_us + level.missing_us
            self._full_at_us.move_to_end(level.bucket.key)
        while len(self._full_at_us) > MAX_LOCAL:
            self._full_at_us.popitem(last=False)
        return Allowance(tuple(taken), exceeded=False)


class RateLimiter:
    """Takes requests out of buckets: all those of a request, and of many requests, at once."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(SCRIPT)
        self._take = Batched(self._take_all)
        self._local = LocalBuckets()
        self._paused_until = 0.0

    async def take(self, kind: RateClass, *buckets: Bucket) -> Allowance:
        """Take one request of class ``kind`` out of each bucket, or of none if one has none."""
        allowance = await self._ask_redis(buckets)
        if allowance is not None:
            return allowance
        if kind in COUNTED_HERE:
            return self._local.take(buckets, time.monotonic_ns() // 1000)
        return Allowance(tuple(Level(one, one.rate.interval_us) for one in buckets), exceeded=False)

    async def _ask_redis(self, buckets: Sequence[Bucket]) -> Allowance | None:
        """Return the answer, or None if there is none."""
        if time.monotonic() < self._paused_until:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._take(buckets)
        except (RedisError, OSError, TimeoutError) as error:
            self._paused_until = time.monotonic() + PAUSE_S
            log.warning("rate_limit_not_counted", error=type(error).__name__)
            return None

    async def _take_all(self, requests: Sequence[Sequence[Bucket]]) -> list[Allowance]:
        keys = [bucket.key for buckets in requests for bucket in buckets]
        arguments: list[int] = []
        for buckets in requests:
            arguments.append(len(buckets))
            for bucket in buckets:
                arguments += (bucket.rate.interval_us, bucket.capacity_us)
        async with asyncio.timeout(TIMEOUT_S):
            answers = iter(await self._script(keys, arguments))
        return [
            _allowance(bool(next(answers)), buckets, [int(next(answers)) for _ in buckets])
            for buckets in requests
        ]


def _allowance(let_in: bool, buckets: Sequence[Bucket], missing_us: Sequence[int]) -> Allowance:
    levels = tuple(Level(*one) for one in zip(buckets, missing_us, strict=True))
    return Allowance(levels, exceeded=not let_in)
