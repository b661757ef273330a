"""Closed loops of clients in a process of their own, with as little Python a request as can be.

Each client has one connection, and sends its next request once the last one is answered. Requests
are bytes that were written before, and of an answer only the status and the length are read: a real
HTTP client would take more time than the service does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

TIMEOUT_S = 60.0
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Work:
    """What one client asks for, again and again in that order; ``status`` is the answer to each."""

    requests: Sequence[bytes]
    status: int = 200


@dataclass(frozen=True)
class Measured:
    """The latency of each request, the wall time, and the CPU time of the clients' process."""

    latencies_ms: list[float]
    wall_s: float
    client_cpu_s: float


def http_request(
    host: str, method: str, path: str, headers: Mapping[str, str], body: object = None
) -> bytes:
    """Write a request of HTTP/1.1; ``body`` is sent as JSON."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def run_clients(host: str, port: int, work: Sequence[Work], seconds: float) -> Measured:
    """Run a client for each of ``work`` for so long; called in a process of its own.

    Raises:
        RuntimeError: the server answered with another status, or closed a connection.
    """
    return asyncio.run(_run(host, port, work, seconds))


async def _run(host: str, port: int, work: Sequence[Work], seconds: float) -> Measured:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    clients = [_Client(each, began + seconds, latencies) for each in work]
    for client in clients:
        await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]
    async with asyncio.timeout(seconds + TIMEOUT_S):
        await asyncio.gather(*(client.done for client in clients))
    return Measured(latencies, time.perf_counter() - began, time.process_time() - cpu)


class _Client(asyncio.Protocol):
    """One connection. It ends with the first answer after ``until`` (of the monotonic clock)."""

    def __init__(self, work: Work, until: float, latencies: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests: Iterator[bytes] = cycle(work.requests)
        self._status, self._until, self._latencies = work.status, until, latencies
        self._received = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END)
        if end < 0:
            return
        length = _content_length(self._received[:end])
        if len(self._received) < end + len(_END) + length:
            return
        now = time.perf_counter()
        status = int(self._received[9:12])
        if status != self._status:
            self._end(RuntimeError(f"answered {self._received[:1000].decode(errors='replace')}"))
            return
        self._latencies.append(1000 * (now - self._sent_at))
        self._received = b""
        if now < self._until:
            self._send()
        else:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or RuntimeError("the server closed a connection"))

    def _send(self) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._requests))

    def _end(self, error: Exception | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
        if self._transport is not None:
            self._transport.close()


def _content_length(head: bytes) -> int:
    at = head.lower().find(_LENGTH)
    if at < 0:
        raise RuntimeError(f"an answer without a length: {head[:200]!r}")
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
