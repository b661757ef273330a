"""Measured times of a generator's jobs, stored in Redis.

They are moving averages for the autoscaling policy. Two replicas that write at the same moment
lose one sample, and a wiped Redis loses all: the catalogue's estimate is used then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.cluster import RedisCluster

from db.redis.client import PREFIX, translate_redis_errors

RETENTION_S = 30 * 24 * 3600
_FIELD = "job_s"


def timings_key(generator: str) -> str:
    return f"{PREFIX}:pace:{generator}"


async def record_job_seconds(
    redis: Redis, generator: str, seconds: float, *, sample_weight: float
) -> None:
    """Add a sample to the moving average, with ``sample_weight`` (0..1).

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    key = timings_key(generator)
    with translate_redis_errors():
        before = _number(await redis.hget(key, _FIELD))
        value = seconds if before is None else before + sample_weight * (seconds - before)
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, _FIELD, f"{value:.3f}")
            pipe.expire(key, RETENTION_S)
            await pipe.execute()


def read_job_seconds(
    redis: BlockingRedis | RedisCluster, generators: Sequence[str]
) -> dict[str, float]:
    """Read the averages that there are, for readers that poll in a thread; raises the client's
    errors."""
    with redis.pipeline(transaction=False) as pipe:
        for generator in generators:
            pipe.hget(timings_key(generator), _FIELD)
        values = pipe.execute()
    found = zip(generators, map(_number, values), strict=True)
    return {generator: seconds for generator, seconds in found if seconds is not None}


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
