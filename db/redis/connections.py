"""Connections whose commands can always be canceled.

redis-py sends with ``asyncio.wait_for``, and that of Python 3.11 returns normally where a task is
canceled at the moment at which the command is sent (https://github.com/python/cpython/issues/86296,
mended in 3.12). A loop that asks Redis now and then would not hear that it is to end, and whoever
waits for its end would wait forever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, ConnectionPool, parse_url
from redis.exceptions import ConnectionError, TimeoutError


class CancelableSend(AbstractConnection):
    """Sends as redis-py does, within ``asyncio.timeout``."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send what is packed.

        Raises:
            redis' ConnectionError, TimeoutError: it was not sent, and the connection is closed.
        """
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        whole = command.encode() if isinstance(command, str) else command
        pieces = [whole] if isinstance(whole, bytes) else whole
        try:
            async with asyncio.timeout(self.socket_timeout):
                await self._send_packed_command(pieces)
        except BaseException as error:
            # What was half sent can't be taken back.
            await self.disconnect(nowait=True)
            if isinstance(error, asyncio.TimeoutError):
                raise TimeoutError("Timeout writing to socket") from None
            if isinstance(error, OSError):
                raise ConnectionError(f"Error while writing to socket. {error}.") from error
            raise


class CancelableConnection(CancelableSend, Connection):
    """Over TCP."""


class CancelableSSLConnection(CancelableSend, SSLConnection):
    """Over TLS."""


class CancelableUnixConnection(CancelableSend, UnixDomainSocketConnection):
    """Over a unix socket."""


_BY_SCHEME: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: CancelableConnection,
    SSLConnection: CancelableSSLConnection,
    UnixDomainSocketConnection: CancelableUnixConnection,
}


def pool_of(url: str, **settings: Any) -> ConnectionPool:
    """Make the pool of ``redis://``, ``rediss://`` or ``unix://``; it connects when first used."""
    named: dict[str, Any] = {**settings, **parse_url(url)}
    kind = named.pop("connection_class", Connection)
    return ConnectionPool(connection_class=_BY_SCHEME[kind], **named)
