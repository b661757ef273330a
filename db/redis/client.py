"""Redis beside the queue: the epoch, the event stream of a job, and the cancel flag.

All of it may be lost at any moment: Postgres holds the truth, these only make it fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.cluster import RedisCluster
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from ulid import ULID

from db.errors import StoreUnavailable, translate_connection_errors
from db.redis.cluster import is_cluster, open_blocking_cluster, open_cluster

UNREACHABLE = (ConnectionError, TimeoutError, BusyLoadingError, OSError)
# It answers, and takes nothing: its memory or disk is full, or it is a replica of late. The client
# has no class for the last two.
REFUSING = (OutOfMemoryError, ReadOnlyError, ClusterDownError)
REFUSED = ("MISCONF", "NOREPLICAS")

# Every key of ours is under it. The braces keep them in one slot of a Redis cluster, as BullMQ's
# scripts need.
PREFIX = "{atelier}"
EPOCH_KEY = f"{PREFIX}:epoch"
MAX_EVENTS = 200
EVENTS_TTL_S = 3600
CANCEL_TTL_S = 24 * 3600
STREAM_START = "0-0"
MAX_BLOCK_MS = 5000  # stays under the client's read timeout, so that silence is no failure

_STREAM_ID = re.compile(r"^\d{1,19}(-\d{1,19})?$")


@contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Turn what a Redis that is away, or cannot write for now, does into StoreUnavailable."""
    with translate_connection_errors("redis", *UNREACHABLE):
        try:
            yield
        except ResponseError as error:
            if isinstance(error, REFUSING) or any(code in str(error) for code in REFUSED):
                raise StoreUnavailable("redis", "it takes no writes") from error
            raise


def open_redis(url: str, *, patient: bool = False) -> Redis:
    """A pooled client that answers ``str``; connects when first used.

    A request to the API wants a quick failure (about a second when Redis is down); a worker is
    ``patient``: it waits out an outage of about a minute rather than lose a completion. Of a
    cluster, it is a client of the node that has our keys.
    """
    settings: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": 10,
        "socket_connect_timeout": 2,
        "health_check_interval": 15,
        "retry": Retry(ExponentialBackoff(cap=1, base=0.05), 60 if patient else 3),
        "retry_on_error": [ConnectionError, TimeoutError, BusyLoadingError],
    }
    if is_cluster(url):
        return open_cluster(url, EPOCH_KEY, **settings)
    return Redis.from_url(url, **settings)


def open_blocking(url: str, timeout_s: float) -> BlockingRedis | RedisCluster:
    """For readers that poll in a thread of their own; answers ``str``.

    Raises what the client raises: a cluster is connected to at once.
    """
    settings: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
    if is_cluster(url):
        return open_blocking_cluster(url, **settings)
    return BlockingRedis.from_url(url, **settings)


async def ping(redis: Redis) -> None:
    """Raises StoreUnavailable if Redis does not answer."""
    with translate_redis_errors():
        await redis.ping()


async def read_epoch(redis: Redis) -> str | None:
    """The mark of the present data set; None if it was wiped since it was written."""
    with translate_redis_errors():
        return cast("str | None", await redis.get(EPOCH_KEY))


async def write_epoch(redis: Redis) -> str:
    """Mark the data set anew, and return the mark."""
    epoch = str(ULID())
    with translate_redis_errors():
        await redis.set(EPOCH_KEY, epoch)
    return epoch


def events_key(job_id: str) -> str:
    return f"{PREFIX}:events:{job_id}"


async def publish_event(redis: Redis, job_id: str, event: dict[str, Any]) -> None:
    """Append an event (JSON values) to the job's stream, which forgets itself after an hour."""
    key = events_key(job_id)
    with translate_redis_errors():
        async with redis.pipeline(transaction=True) as pipe:
            pipe.xadd(key, {"event": json.dumps(event)}, maxlen=MAX_EVENTS, approximate=True)
            pipe.expire(key, EVENTS_TTL_S)
            await pipe.execute()


async def read_events(
    redis: Redis, job_id: str, after: str, block_ms: int
) -> list[tuple[str, dict[str, Any]]]:
    """Events after the id ``after`` as (id, event), oldest first; waits up to ``block_ms`` for one.

    ``after`` may come from a client (``Last-Event-ID``): what is no id reads from the start. Ids
    of one job grow. ``block_ms`` of 0 does not wait; more than 5000 waits 5000.
    """
    start = after if _STREAM_ID.match(after) else STREAM_START
    block = min(block_ms, MAX_BLOCK_MS) if block_ms > 0 else None
    with translate_redis_errors():
        answer = await redis.xread({events_key(job_id): start}, count=MAX_EVENTS, block=block)
    return [(str(stream_id), json.loads(fields["event"])) for stream_id, fields in _entries(answer)]


def _entries(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """The entries of the one stream asked for, in either protocol version's shape."""
    if not answer:
        return []
    entries = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], tuple):
        entries = entries[0]
    return cast("list[tuple[str, dict[str, str]]]", entries)


def cancel_key(job_id: str) -> str:
    return f"{PREFIX}:cancel:{job_id}"


async def set_cancel_flag(redis: Redis, job_id: str) -> None:
    """Raise the flag that the replica running the job watches."""
    with translate_redis_errors():
        await redis.set(cancel_key(job_id), "1", ex=CANCEL_TTL_S)


async def get_cancel_flags(redis: Redis, job_ids: Iterable[str]) -> set[str]:
    """Which of the jobs have been asked to stop."""
    ids = list(job_ids)
    if not ids:
        return set()
    with translate_redis_errors():
        flags = await redis.mget([cancel_key(job_id) for job_id in ids])
    return {job_id for job_id, flag in zip(ids, flags, strict=True) if flag is not None}
