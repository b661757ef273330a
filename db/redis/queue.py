"""The queue of one generator, on BullMQ. It may lose messages; Postgres is the source of truth.

A message is named after its job and attempt and removed once finished, because BullMQ silently
ignores an add under a name that it still has. The worker side is in ``db.redis.queue_worker``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bullmq import Job, Queue
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError

from db.redis.client import PREFIX, open_redis, translate_redis_errors

MESSAGE_NAME = "run"

# Any priority above zero puts a message into BullMQ's sorted set; ``push`` writes its score itself.
BULLMQ_PRIORITY = 1
# Scores are doubles, which are exact for whole numbers up to this one.
MAX_TAG = 2**53


def message_id(job_id: str, attempt_no: int) -> str:
    """Return the name of the message for an attempt of a job."""
    return f"{job_id}-{attempt_no}"


def queue_key(generator: str, part: str) -> str:
    """Return the Redis key of a part: ``wait``, ``active`` (lists), ``prioritized`` (set)."""
    return f"{PREFIX}:{generator}:{part}"


@dataclass(frozen=True)
class QueueCounts:
    """Numbers of waiting and active messages, and whether the queue is paused."""

    waiting: int
    active: int
    paused: bool = False


def read_counts(
    redis: BlockingRedis | RedisCluster, generators: Sequence[str]
) -> dict[str, QueueCounts]:
    """Read the depth of many queues in one round trip, for readers that poll in a thread.

    Raises the client's errors.
    """
    with redis.pipeline(transaction=False) as pipe:
        for generator in generators:
            _queue_count_commands(pipe, generator)
        return _counts_of(generators, pipe.execute())


async def count_all(redis: Redis, generators: Sequence[str]) -> dict[str, QueueCounts]:
    """Read the depth of many queues in one round trip.

    Raises:
        StoreUnavailable: Redis does not answer in time.
    """
    with translate_redis_errors():
        async with redis.pipeline(transaction=False) as pipe:
            for generator in generators:
                _queue_count_commands(pipe, generator)
            return _counts_of(generators, await pipe.execute())


def _counts_of(generators: Sequence[str], replies: Sequence[Any]) -> dict[str, QueueCounts]:
    per_queue = len(replies) // max(1, len(generators))
    return {
        generator: _to_counts(replies[per_queue * place : per_queue * (place + 1)])
        for place, generator in enumerate(generators)
    }


def _queue_count_commands(pipe: Any, generator: str) -> None:
    pipe.llen(queue_key(generator, "wait"))
    pipe.zcard(queue_key(generator, "prioritized"))
    pipe.llen(queue_key(generator, "active"))
    pipe.llen(queue_key(generator, "paused"))
    pipe.hexists(queue_key(generator, "meta"), "paused")


def _to_counts(replies: Sequence[int]) -> QueueCounts:
    wait, prioritized, active, stopped, paused = replies
    return QueueCounts(wait + prioritized + stopped, active, paused=bool(paused))


async def read_positions(redis: Redis, messages: Sequence[tuple[str, str]]) -> list[int | None]:
    """Return how many messages are served before each of these, which are a generator and a name;
    None for one that does not wait. One round trip, whatever their number.

    Raises:
        StoreUnavailable: Redis does not answer in time.
    """
    generators = list(dict.fromkeys(generator for generator, _ in messages))
    with translate_redis_errors():
        async with redis.pipeline(transaction=False) as pipe:
            for generator in generators:
                pipe.llen(queue_key(generator, "wait"))
            for generator, name in messages:
                pipe.zrank(queue_key(generator, "prioritized"), name)
            replies = await pipe.execute()
        # Served before all that have a priority. Ours have one, so the list is empty.
        first = dict(zip(generators, replies, strict=False))
        ranks = replies[len(generators) :]
        return [
            await _place_in_list(redis, generator, name, first[generator])
            if rank is None
            else int(first[generator]) + int(rank)
            for (generator, name), rank in zip(messages, ranks, strict=True)
        ]


async def _place_in_list(redis: Redis, generator: str, name: str, length: int) -> int | None:
    if not length:
        return None
    index = cast("int | None", await redis.lpos(queue_key(generator, "wait"), name))
    return None if index is None else length - 1 - index  # served from the right


class JobQueue:
    """The queue of one generator: push, remove, count, reconcile.

    Every call raises :class:`db.errors.StoreUnavailable` if Redis does not answer in time.
    """

    def __init__(self, redis: Redis, generator: str) -> None:
        self.generator = generator
        self._redis = redis
        self._queue = Queue(generator, {"connection": redis, "prefix": PREFIX})

    @classmethod
    def open(cls, redis_url: str, generator: str) -> JobQueue:
        """Make a queue; it connects when first used."""
        return cls(open_redis(redis_url), generator)

    async def push(self, job_id: str, attempt_no: int, tag: int) -> int | None:
        """Push the message for an attempt; the lowest ``tag`` (0 to 2^53) is served first,
        and of equal ones the oldest job.

        A second push of the same attempt only sets the tag, and nothing once a worker has it.
        Returns what ``position`` would.
        """
        if not 0 <= tag <= MAX_TAG:
            raise ValueError(f"the queue cannot hold the tag {tag}")
        name = message_id(job_id, attempt_no)
        options = {
            "jobId": name,
            "priority": BULLMQ_PRIORITY,
            "attempts": 1,
            "removeOnComplete": True,
            "removeOnFail": True,
        }
        message = Job(self._queue, MESSAGE_NAME, {"job_id": job_id, "attempt": attempt_no}, options)
        with translate_redis_errors():
            try:
                first, rank = await self._push(message, name, tag, load=False)
            except NoScriptError:  # Redis is new, or was emptied
                first, rank = await self._push(message, name, tag, load=True)
        return None if rank is None else first + rank

    async def _push(
        self, message: Job, name: str, tag: int, *, load: bool
    ) -> tuple[int, int | None]:
        """Return how many messages come before those that have a tag, and how many of these come
        before this one. ``load``: look first whether Redis has BullMQ's script, which is a round
        trip."""
        # BullMQ's own scores have 21 bits of priority and a counter below. In one transaction, so
        # that no worker sees them.
        async with self._redis.pipeline(transaction=True) as pipe:
            await self._queue.backend.scripts.addJob(message, pipe)
            pipe.zadd(queue_key(self.generator, "prioritized"), {name: tag}, xx=True)
            pipe.llen(queue_key(self.generator, "wait"))
            pipe.zrank(queue_key(self.generator, "prioritized"), name)
            if not load:
                pipe.scripts.clear()
            *_, first, rank = await pipe.execute()
        return int(first), rank

    async def remove(self, job_id: str, attempt_no: int) -> bool:
        """Remove a message; returns False if there is none or a worker holds it."""
        name = message_id(job_id, attempt_no)
        with translate_redis_errors():
            if not await self._redis.exists(self._queue.toKey(name)):
                return False
            return bool(await self._queue.remove(name))

    async def contains(self, ids: Iterable[str]) -> set[str]:
        """Return those of the messages (``message_id``) that wait or are active."""
        names = list(ids)
        if not names:
            return set()
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.exists(self._queue.toKey(name))
                known = await pipe.execute()
        return {name for name, there in zip(names, known, strict=True) if there}

    async def counts(self) -> QueueCounts:
        return (await count_all(self._redis, [self.generator]))[self.generator]

    async def position(self, job_id: str, attempt_no: int) -> int | None:
        """Return how many messages are served before this one; None if it does not wait."""
        message = self.generator, message_id(job_id, attempt_no)
        return (await read_positions(self._redis, [message]))[0]

    async def set_paused(self, paused: bool) -> None:
        """Pause or resume the queue; workers finish messages that they have taken."""
        with translate_redis_errors():
            await (self._queue.pause() if paused else self._queue.resume())

    async def close(self) -> None:
        await self._queue.close()
