"""How long a generator's jobs and its loading take, as last measured; kept in Redis.

Moving averages that the autoscaling policy divides work by. Two replicas that write at the same
moment lose one sample, and a wiped Redis loses all of them: then the catalogue's estimate holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.cluster import RedisCluster

from db.redis import PREFIX, reaching_redis

NEWEST = 0.2  # weight of a new sample
KEPT_S = 30 * 24 * 3600

What = Literal["job_s", "load_s"]


@dataclass(frozen=True)
class Pace:
    """Seconds; None as long as nothing was measured."""

    job_s: float | None = None
    load_s: float | None = None


def pace_key(generator: str) -> str:
    return f"{PREFIX}:pace:{generator}"


async def record_pace(redis: Redis, generator: str, what: What, seconds: float) -> None:
    """Take a sample into the average. Raises StoreUnavailable."""
    key = pace_key(generator)
    with reaching_redis():
        before = _number(await redis.hget(key, what))
        value = seconds if before is None else before + NEWEST * (seconds - before)
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, what, f"{value:.3f}")
            pipe.expire(key, KEPT_S)
            await pipe.execute()


def read_pace(redis: BlockingRedis | RedisCluster, generators: Sequence[str]) -> dict[str, Pace]:
    """For readers that poll in a thread. Raises what the client raises."""
    with redis.pipeline(transaction=False) as pipe:
        for generator in generators:
            pipe.hmget(pace_key(generator), "job_s", "load_s")
        rows = pipe.execute()
    return {
        generator: Pace(*(_number(value) for value in row))
        for generator, row in zip(generators, rows, strict=True)
    }


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
