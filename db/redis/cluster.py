"""A client of a Redis cluster that uses one node: the owner of our slot.

Every key of ours is under one hash tag (``db.redis.client.PREFIX``), as BullMQ's scripts need, so
that one master has them all. A connection that opens asks any node for such a key: the node serves
it or names the owner. It closes as soon as an answer says that the owner changed, and the client's
own retries open the next one, to the new owner.

redis-py's RedisCluster works with BullMQ as well, but a transaction there starts a thread and an
event loop for every command of it, and one CLUSTERDOWN closes the connections of everybody.

Not covered: a slot that is moved key by key (``CLUSTER SETSLOT``) counts as away until it is moved.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

from db.redis.connections import CancelableSend

SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
PROBE_TIMEOUT_S = 1.0

_SLOT_MOVED_ERRORS = (MovedError, AskError, TryAgainError, ClusterDownError, ReadOnlyError)

Address = tuple[str, int]


def is_cluster(url: str) -> bool:
    return url.partition("://")[0] in SCHEMES


def parse_cluster(url: str) -> tuple[list[Address], dict[str, Any]]:
    """Parse ``redis+cluster://user:password@host:port,host:port`` into nodes and settings.

    Raises:
        ValueError: the address is malformed; the message does not show it.
    """
    scheme, _, rest = url.partition("://")
    head = rest.partition("?")[0].partition("/")[0]
    login, at, hosts = head.rpartition("@")
    if scheme not in SCHEMES or not hosts:
        raise ValueError("must be redis+cluster://host:port,host:port")
    if urlsplit(f"//node{rest[len(head) :]}").path not in ("", "/", "/0"):
        raise ValueError("a Redis cluster has no databases")
    nodes = [_address(host) for host in hosts.split(",")]
    # Parsed with the first host only, so that user, password and options are read as usual.
    plain = f"{SCHEMES[scheme]}://{login}{at}node{rest[len(head) :]}"
    try:
        settings = dict(parse_url(plain))
    except ValueError:
        raise ValueError("the login or the options of the Redis cluster are malformed") from None
    if settings.get("db"):
        raise ValueError("a Redis cluster has no databases")
    for own in ("host", "port", "db", "connection_class"):
        settings.pop(own, None)
    return nodes, settings


def _address(host: str) -> Address:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError("a node of the Redis cluster has no host")
    try:
        return parts.hostname, parts.port or 6379
    except ValueError:  # its message shows the text, which may be part of a password
        raise ValueError("a node of the Redis cluster has no valid port") from None


class OwnerConnection(CancelableSend, Connection):
    """A connection to the node that owns ``key``; asks ``nodes`` for it in any order."""

    def __init__(self, *, nodes: Sequence[Address], key: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._nodes, self._key, self._settings = nodes, key, settings

    async def _connect(self) -> None:
        self.host, self.port = await self._owner()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def _owner(self) -> Address:
        """Return the owner; raises redis' ConnectionError if no node knows it."""
        failure: Exception | None = None
        for node in random.sample(self._nodes, len(self._nodes)):
            try:
                return await self._ask(node)
            except (RedisError, OSError, TimeoutError) as error:
                failure = error
        raise ConnectionError("no node of the cluster knows who owns the keys") from failure

    async def _ask(self, node: Address) -> Address:
        kind = SSLConnection if isinstance(self, SSLConnection) else Connection
        patience = {"socket_timeout": PROBE_TIMEOUT_S, "socket_connect_timeout": PROBE_TIMEOUT_S}
        own = {"host": node[0], "port": node[1], "retry": Retry(NoBackoff(), 0)}
        probe = kind(**{**self._settings, **patience, **own, "retry_on_error": []})
        try:
            await probe.connect()  # type: ignore[no-untyped-call]
            await probe.send_command("EXISTS", self._key)
            await probe.read_response()
        except MovedError as moved:
            return moved.host or node[0], moved.port
        finally:
            await probe.disconnect(nowait=True)
        return node

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a response; an answer that the owner changed closes the connection."""
        try:
            return await super().read_response(*arguments, **options)
        except _SLOT_MOVED_ERRORS as error:
            await self.disconnect(nowait=True)
            raise ConnectionError("the owner of the keys changed") from error


class OwnerSSLConnection(OwnerConnection, SSLConnection):
    """An OwnerConnection over TLS."""


def open_cluster(url: str, key: str, **settings: Any) -> Redis:
    """Make a pooled client of the node that owns ``key``; it connects when first used."""
    nodes, options = parse_cluster(url)
    secure = url.startswith("rediss")
    pool = ConnectionPool(
        connection_class=OwnerSSLConnection if secure else OwnerConnection,
        nodes=nodes,
        key=key,
        **{**options, **settings},
    )
    return Redis.from_pool(pool)


def open_blocking_cluster(url: str, **settings: Any) -> RedisCluster:
    """Make a client for readers in their own thread. Connects at once; raises its errors."""
    nodes, options = parse_cluster(url)
    if url.startswith("rediss"):
        options["ssl"] = True
    known = [ClusterNode(host, port) for host, port in nodes]  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=known, **{**options, **settings})
