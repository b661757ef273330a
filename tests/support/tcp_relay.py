"""A relay before a server, whose connections a test breaks or silences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class TcpRelay:
    """Passes on what both sides send, at ``port``."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """End all connections, and take no more."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._passes.set()

    def silence(self) -> None:
        """Pass nothing on that the server says from now on; connections stay open."""
        self._passes.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, answer = await asyncio.open_connection(*self._target)
        self._open |= {writer, answer}
        with suppress(ConnectionError):
            await asyncio.gather(
                self._pass(reader, answer), self._pass(there, writer, self._passes)
            )
        self._open -= {writer, answer}

    @staticmethod
    async def _pass(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        allowed: asyncio.Event | None = None,
    ) -> None:
        try:
            while data := await reader.read(65536):
                if allowed is not None:
                    await allowed.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def relayed(host: str, port: int) -> AsyncIterator[TcpRelay]:
    relay = TcpRelay(host, port)
    await relay.open()
    try:
        yield relay
    finally:
        await relay.shut()
