"""Failed attempts to log in, and the growing delays that follow them.

Only failures count. They are counted in Redis, for all ingress processes together. Each process
keeps a count beside it, and goes on with that while Redis is away. Attempts on one subject are
checked one after another, so that many guesses sent at the same moment do not all pass before the
first has failed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.redis.client import PREFIX
from serve_app.http.errors import RateLimited

log = structlog.get_logger()

MAX_DELAY_S = 900
_DAY_S = 24 * 3600

# A request waits no longer than this for Redis, and after a failure not at all for a while.
TIMEOUT_S = 0.25
PAUSE_S = 5.0
# Subjects that a process remembers by itself.
MAX_LOCAL = 10_000


@dataclass(frozen=True)
class Bound:
    """``free`` failures within ``window_s`` seconds cost nothing; after each further one comes a
    delay, the first of ``first_delay_s`` and each twice the one before.

    Failures are forgotten ``memory_s`` after the last delay.
    """

    free: int
    window_s: int
    first_delay_s: int
    memory_s: int

    def delay_s(self, failures: int) -> int:
        """Return the delay after so many failures, at most ``MAX_DELAY_S`` seconds."""
        beyond = failures - self.free
        return 0 if beyond < 0 else min(MAX_DELAY_S, self.first_delay_s << min(beyond, 20))

    def kept_s(self, failures: int) -> int:
        """Return how long so many failures are remembered, in seconds."""
        delay = self.delay_s(failures)
        return delay + self.memory_s if delay else self.window_s


# Many people may share a network, and few of them mistype ten times in one minute.
NETWORK = Bound(free=10, window_s=60, first_delay_s=60, memory_s=MAX_DELAY_S)
# About a hundred guesses a day at one account, from however many networks.
ACCOUNT = Bound(free=10, window_s=_DAY_S, first_delay_s=2, memory_s=_DAY_S)


@dataclass(frozen=True)
class Subject:
    """What failures are counted by: a network, an account, a device. The name tells no address."""

    name: str
    bound: Bound


class _RedisCounts:
    """The number of failures and the delay are keys that expire, by the clock of Redis alone."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def wait_s(self, subject: Subject) -> int:
        return max(0, math.ceil(await self._redis.pttl(_key(subject, "delay")) / 1000))

    async def add(self, subject: Subject) -> int:
        number = _key(subject, "number")
        failures = int(await self._redis.incr(number))
        delay = subject.bound.delay_s(failures)
        async with self._redis.pipeline() as pipe:
            # Before the first delay the window begins with the first failure, and ends by itself.
            pipe.expire(number, subject.bound.kept_s(failures), nx=not delay)
            if delay:
                pipe.set(_key(subject, "delay"), 1, ex=delay)
            await pipe.execute()
        return failures

    async def clear(self, subject: Subject) -> int:
        keys = (_key(subject, "number"), _key(subject, "delay"))
        return int(await self._redis.delete(*keys))


@dataclass
class _Local:
    failures: int
    delayed_until: float
    forgotten_at: float


class LocalCounts:
    """The same in this process; the subjects whose last failure is longest ago are dropped."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Local] = OrderedDict()

    def wait_s(self, subject: Subject) -> int:
        found = self._find(subject)
        return 0 if found is None else max(0, math.ceil(found.delayed_until - time.monotonic()))

    def add(self, subject: Subject, shared: int = 0) -> None:
        """Count a failure; ``shared`` failures are known to all processes, this one among them."""
        now = time.monotonic()
        found = self._find(subject)
        if found is None or 0 < shared <= found.failures:  # forgotten by all since
            found = _Local(0, now, now + subject.bound.window_s)
            self._known[subject.name] = found
        found.failures = shared or found.failures + 1
        delay = subject.bound.delay_s(found.failures)
        if delay:
            found.delayed_until = now + delay
            found.forgotten_at = now + subject.bound.kept_s(found.failures)
        self._known.move_to_end(subject.name)
        while len(self._known) > MAX_LOCAL:
            self._known.popitem(last=False)

    def clear(self, subject: Subject) -> None:
        self._known.pop(subject.name, None)

    def _find(self, subject: Subject) -> _Local | None:
        found = self._known.get(subject.name)
        if found is not None and found.forgotten_at <= time.monotonic():
            del self._known[subject.name]
            return None
        return found


class FailedAttempts:
    """Counts failed attempts by subject, and refuses attempts while a delay lasts."""

    def __init__(self, redis: Redis) -> None:
        self._shared = _RedisCounts(redis)
        self._local = LocalCounts()
        self._paused_until = 0.0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def attempt(self, *subjects: Subject) -> AsyncIterator[None]:
        """Let one attempt on these subjects through at a time in this process.

        Raises:
            RateLimited: one of the subjects has to wait.
        """
        async with AsyncExitStack() as stack:
            # Sorted, so that two attempts never wait for each other.
            for name in sorted(subject.name for subject in subjects):
                lock = self._locks.get(name)
                if lock is None:
                    lock = self._locks[name] = asyncio.Lock()
                await stack.enter_async_context(lock)
            await self.check(*subjects)
            yield

    async def check(self, *subjects: Subject) -> None:
        """Raises RateLimited, with the longest wait, if one of the subjects has to wait."""
        wait = max([await self._wait_s(subject) for subject in subjects])
        if wait:
            raise RateLimited(wait)

    async def failed(self, *subjects: Subject) -> None:
        """Count a failure of each subject."""
        for subject in subjects:
            shared = await self._ask_redis(self._shared.add(subject))
            # Also if Redis has counted: it may be away at the next one.
            self._local.add(subject, shared or 0)

    async def succeeded(self, subject: Subject) -> None:
        """Forget the subject's failures."""
        self._local.clear(subject)
        await self._ask_redis(self._shared.clear(subject))

    async def _wait_s(self, subject: Subject) -> int:
        shared = await self._ask_redis(self._shared.wait_s(subject))
        # A success at another process has cleared the one count, and not the other.
        return self._local.wait_s(subject) if shared is None else shared

    async def _ask_redis(self, question: Coroutine[Any, Any, int]) -> int | None:
        """Return the answer, or None if there is none: then this process counts for itself."""
        if time.monotonic() < self._paused_until:
            question.close()
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await question
        except (RedisError, OSError, TimeoutError) as error:
            self._paused_until = time.monotonic() + PAUSE_S
            log.warning("failed_attempts_counted_here", error=type(error).__name__)
            return None


def _key(subject: Subject, what: str) -> str:
    return f"{PREFIX}:failed:{subject.name}:{what}"
