"""Measured times of a generator's jobs and of its loading, stored in Redis.

They are moving averages for the autoscaling policy. Two replicas that write at the same moment
lose one sample, and a wiped Redis loses all: the catalogue's estimate is used then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.cluster import RedisCluster

from db.redis.client import PREFIX, translate_redis_errors

RETENTION_S = 30 * 24 * 3600

TimingKind = Literal["job_s", "load_s"]


@dataclass(frozen=True)
class JobTimings:
    """Average seconds; None until something was measured."""

    job_s: float | None = None
    load_s: float | None = None


def timings_key(generator: str) -> str:
    return f"{PREFIX}:pace:{generator}"


async def record_timing(
    redis: Redis, generator: str, kind: TimingKind, seconds: float, *, sample_weight: float
) -> None:
    """Add a sample to the moving average, with ``sample_weight`` (0..1).

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    key = timings_key(generator)
    with translate_redis_errors():
        before = _number(await redis.hget(key, kind))
        value = seconds if before is None else before + sample_weight * (seconds - before)
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, kind, f"{value:.3f}")
            pipe.expire(key, RETENTION_S)
            await pipe.execute()


def read_timings(
    redis: BlockingRedis | RedisCluster, generators: Sequence[str]
) -> dict[str, JobTimings]:
    """Read the averages, for readers that poll in a thread; raises the client's errors."""
    with redis.pipeline(transaction=False) as pipe:
        for generator in generators:
            pipe.hmget(timings_key(generator), "job_s", "load_s")
        rows = pipe.execute()
    return {
        generator: JobTimings(*(_number(value) for value in row))
        for generator, row in zip(generators, rows, strict=True)
    }


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
