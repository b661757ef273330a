"""One connection that hears when events of jobs are published (``db.redis.client.publish_event``).

Redis keeps no message for a client that is away, so a message only says that the stream of a job
has more; the events themselves are read from the stream. In a cluster, every node passes on every
message, so that the owner of our keys hears all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

from redis.asyncio import Connection, Redis
from redis.exceptions import ConnectionError

from db.redis.client import events_key, translate_redis_errors

# After this silence the server is asked to answer; after one more, the connection is given up.
SILENCE_S = 5.0
CHANNELS_A_COMMAND = 500

_KEY_START = events_key("")


class Notice(NamedTuple):
    """An event of this kind was published; ``None``: from now on the job's events are noticed."""

    job_id: str
    kind: str | None


class EventSubscription:
    """The connection, and the jobs it listens to. Two tasks may use it: a reader and a writer.

    Every method raises StoreUnavailable once the connection is lost; it does not come back.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def subscribe(self, job_ids: Collection[str]) -> None:
        """Listen to the jobs; a Notice without a kind tells when that begins."""
        await self._send("SUBSCRIBE", job_ids)

    async def unsubscribe(self, job_ids: Collection[str]) -> None:
        await self._send("UNSUBSCRIBE", job_ids)

    async def next(self) -> Notice:
        """Wait for the next notice."""
        while True:
            match await self._message():
                case [kind, str(channel), *data] if channel.startswith(_KEY_START):
                    job_id = channel.removeprefix(_KEY_START)
                    if kind == "message":
                        return Notice(job_id, str(data[0]))
                    if kind == "subscribe":
                        return Notice(job_id, None)

    async def _message(self) -> Any:
        """Return what the server sends next, also a mere sign of life.

        A connection may be dead without an error, when a machine or a network vanished.
        """
        with translate_redis_errors():
            if (message := await self._read()) is None:
                await self._connection.send_command("PING", check_health=False)
                if (message := await self._read()) is None:
                    raise ConnectionError("the server is silent")
        return message

    async def _read(self) -> Any:
        return await self._connection.read_response(timeout=SILENCE_S, push_request=True)

    async def _send(self, command: str, job_ids: Collection[str]) -> None:
        channels = [events_key(job_id) for job_id in job_ids]
        with translate_redis_errors():
            for start in range(0, len(channels), CHANNELS_A_COMMAND):
                chunk = channels[start : start + CHANNELS_A_COMMAND]
                await self._connection.send_command(command, *chunk, check_health=False)


@asynccontextmanager
async def open_subscription(redis: Redis) -> AsyncIterator[EventSubscription]:
    """Take a connection of the pool until the block ends; raises StoreUnavailable."""
    with translate_redis_errors():
        found = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    connection = cast("Connection", found)
    try:
        yield EventSubscription(connection)
    finally:
        # Closed, since it is no connection for commands any more.
        await connection.disconnect(nowait=True)
        await redis.connection_pool.release(connection)
