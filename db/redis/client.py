"""Redis apart from the queue: the epoch, event streams of jobs, flags of jobs.

All of it may be lost at any moment: Postgres is the source of truth, Redis makes it fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from ulid import ULID

from db.errors import StoreUnavailable, translate_connection_errors
from db.redis.cluster import is_cluster, open_blocking_cluster, open_cluster
from db.redis.connections import pool_of

UNREACHABLE = (ConnectionError, TimeoutError, BusyLoadingError, OSError)
# It answers but rejects writes: its memory or disk is full, it became a replica, or it took over
# since the client asked whether it has our scripts. The client has no class for two of them.
REFUSING = (OutOfMemoryError, ReadOnlyError, ClusterDownError, NoScriptError)
REFUSED = ("MISCONF", "NOREPLICAS")

# The prefix of all our keys. The braces keep them in one slot of a Redis cluster, as BullMQ's
# scripts need.
PREFIX = "{atelier}"
# A new name when what a message holds changed: maintenance then pushes every queued job once more.
EPOCH_KEY = f"{PREFIX}:epoch-tags"
MAX_EVENTS = 200
EVENTS_TTL_S = 3600
WATCHED_TTL_S = 30
CANCEL_TTL_S = 24 * 3600
STREAM_START = "0-0"

_STREAM_ID = re.compile(r"^\d{1,19}(-\d{1,19})?$")


@contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Turn the errors of a Redis that is away, or rejects writes, into StoreUnavailable."""
    with translate_connection_errors("redis", *UNREACHABLE):
        try:
            yield
        except ResponseError as error:
            if isinstance(error, REFUSING) or any(code in str(error) for code in REFUSED):
                raise StoreUnavailable("redis", "it takes no writes") from error
            raise


def open_redis(url: str, *, patient: bool = False) -> Redis:
    """Make a pooled client that returns ``str``; it connects when first used.

    A request to the API fails quickly (after about a second); a worker is ``patient`` and waits out
    an outage of about a minute rather than lose a completion. In a cluster, the client uses the
    node that has our keys.
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
    return Redis.from_pool(pool_of(url, **settings))


def open_blocking(url: str, timeout_s: float) -> BlockingRedis | RedisCluster:
    """Make a client for readers that poll in their own thread; it returns ``str``.

    Raises the client's errors: to a cluster it connects at once.
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
    """Raise StoreUnavailable if Redis does not answer."""
    with translate_redis_errors():
        await redis.ping()


async def read_epoch(redis: Redis) -> str | None:
    """Return the epoch of the data set; None if Redis was wiped since it was written."""
    with translate_redis_errors():
        return cast("str | None", await redis.get(EPOCH_KEY))


async def write_epoch(redis: Redis) -> str:
    """Write a new epoch and return it."""
    epoch = str(ULID())
    with translate_redis_errors():
        await redis.set(EPOCH_KEY, epoch)
    return epoch


def events_key(job_id: str) -> str:
    return f"{PREFIX}:events:{job_id}"


async def publish_event(redis: Redis, job_id: str, event: dict[str, Any]) -> None:
    """Append an event (JSON values) to the job's stream, which expires after an hour.

    Its ``type`` is published as well, for those who wait (``db.redis.subscription``): in the same
    transaction, so that whoever hears of the event finds it.
    """
    (error,) = await publish_events(redis, [(job_id, event)])
    if error is not None:
        with translate_redis_errors():
            raise error


async def publish_events(
    redis: Redis, events: Sequence[tuple[str, dict[str, Any]]]
) -> list[Exception | None]:
    """Publish events by their jobs' ids, in one transaction.

    Returns the error of redis-py for each event that it refuses alone; raises if it takes none.
    """
    with translate_redis_errors():
        async with redis.pipeline(transaction=True) as pipe:
            for job_id, event in events:
                key = events_key(job_id)
                pipe.xadd(key, {"event": json.dumps(event)}, maxlen=MAX_EVENTS, approximate=True)
                pipe.expire(key, EVENTS_TTL_S)
                pipe.publish(key, str(event.get("type", "")))
            answers = await pipe.execute(raise_on_error=False)
    each = len(answers) // len(events)
    return [
        next((one for one in answers[at : at + each] if isinstance(one, Exception)), None)
        for at in range(0, len(answers), each)
    ]


async def read_events(redis: Redis, job_id: str, after: str) -> list[tuple[str, dict[str, Any]]]:
    """Read (id, event) after the id ``after``, oldest first.

    ``after`` may come from a client (``Last-Event-ID``): malformed ids read from the start. Ids
    of one job grow.
    """
    start = after if _STREAM_ID.match(after) else STREAM_START
    with translate_redis_errors():
        answer = await redis.xread({events_key(job_id): start})
    return [(str(stream_id), json.loads(fields["event"])) for stream_id, fields in _entries(answer)]


def _entries(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """Return the entries of the stream, from the shape of either protocol version."""
    if not answer:
        return []
    entries = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], tuple):
        entries = entries[0]
    return cast("list[tuple[str, dict[str, str]]]", entries)


def cancel_key(job_id: str) -> str:
    return f"{PREFIX}:cancel:{job_id}"


async def set_cancel_flag(redis: Redis, job_id: str) -> None:
    """Set the flag that the replica running the job polls."""
    with translate_redis_errors():
        await redis.set(cancel_key(job_id), "1", ex=CANCEL_TTL_S)


def watched_key(job_id: str) -> str:
    return f"{PREFIX}:watched:{job_id}"


async def mark_watched(redis: Redis, job_id: str) -> None:
    """Say that somebody follows the job's events; it holds for ``WATCHED_TTL_S``."""
    with translate_redis_errors():
        await redis.set(watched_key(job_id), "1", ex=WATCHED_TTL_S)


async def get_watched(redis: Redis, job_ids: Iterable[str]) -> set[str]:
    """Return those of the jobs whose events somebody follows."""
    ids = list(job_ids)
    if not ids:
        return set()
    with translate_redis_errors():
        marks = await redis.mget([watched_key(job_id) for job_id in ids])
    return {job_id for job_id, mark in zip(ids, marks, strict=True) if mark is not None}


@dataclass(frozen=True)
class Flags:
    """Whether somebody follows a job's events, and whether it was asked to stop."""

    watched: bool
    canceled: bool


async def get_flags(redis: Redis, job_ids: Sequence[str]) -> list[Flags]:
    """Return the flags of each job, of at least one."""
    keys = [key_of(job_id) for job_id in job_ids for key_of in (watched_key, cancel_key)]
    with translate_redis_errors():
        marks = [mark is not None for mark in await redis.mget(keys)]
    return [Flags(*of_job) for of_job in zip(marks[::2], marks[1::2], strict=True)]


def reports_key(job_id: str) -> str:
    return f"{PREFIX}:reports:{job_id}"


async def delete_job_keys(redis: Redis, job_ids: Iterable[str]) -> None:
    """Delete the events, reports and flags of jobs; missing ones are no error."""
    keys_of = (events_key, cancel_key, watched_key, reports_key)
    keys = [key_of(job_id) for job_id in job_ids for key_of in keys_of]
    if keys:
        with translate_redis_errors():
            await redis.delete(*keys)
