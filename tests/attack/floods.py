"""Floods: what many requests at a time do. Each runs in a process of its own, from one address.

They write to bare sockets: a client library would send less than one machine can.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tests.attack.target import PASSWORD

MB = 1_000_000
# Another address of this machine, so that limits for an address hold for the attacker alone.
ATTACKER = "127.0.0.2"


@dataclass(frozen=True)
class Flood:
    """Where to send it, for how long, and from which address; ``keys`` are accounts it has."""

    host: str
    port: int
    seconds: float
    source: str = ATTACKER
    keys: tuple[str, ...] = ()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port, local_addr=(self.source, 0))


async def idle_connections(flood: Flood, counts: Counter[str]) -> None:
    """4,300 requests that stop in the middle of their headers."""
    await _hold(flood, counts, 4300, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")


async def slow_bodies(flood: Flood, counts: Counter[str]) -> None:
    """1,000 log-ins whose body comes one byte a second."""
    head = (
        b"POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    await _hold(flood, counts, 1000, head, drip=b"a")


async def json_lists(flood: Flood, counts: Counter[str]) -> None:
    """60 MB of empty lists, by six at a time who have no account."""
    await _post(flood, counts, 6, b"application/json", b"[" + b"[]," * (20 * MB))


async def multipart(flood: Flood, counts: Counter[str]) -> None:
    """A file of 60 MB, by six at a time who have no account."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = head + b"\x89PNG\r\n\x1a\n" + bytes(60 * MB) + b"\r\n--b--\r\n"
    await _post(flood, counts, 6, b"multipart/form-data; boundary=b", body, b"/v1/files")


async def streams(flood: Flood, counts: Counter[str]) -> None:
    """500 event streams for each of the accounts; ``keys`` are pairs ``KEY JOB``."""
    heads = []
    for pair in flood.keys:
        key, job = pair.split()
        path = f"/v1/jobs/{job}/events"
        heads.append(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode())
    each = itertools.cycle(heads)

    async def one(head: bytes) -> None:
        reader, writer = await flood.connect()
        writer.write(head)
        status = await reader.readline()
        counts[_status(status)] += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(flood.seconds):
                await reader.read()
        writer.close()

    await _together(flood, counts, 1500, lambda: one(next(each)))


async def logins(flood: Flood, counts: Counter[str]) -> None:
    """One guess each at many accounts, eight at a time."""

    def request() -> bytes:
        return _form(f"username=p{secrets.token_hex(6)}%40example.com&password=wrong-guess")

    await _repeat(flood, counts, 8, request)


async def registrations(flood: Flood, counts: Counter[str]) -> None:
    """Accounts, eight at a time, as many as there may be."""

    def request() -> bytes:
        email = f"flood-{secrets.token_hex(8)}@example.com"
        body = json.dumps({"email": email, "password": PASSWORD}).encode()
        head = "POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    await _repeat(flood, counts, 8, request)


FLOODS: dict[str, Callable[[Flood, Counter[str]], Coroutine[Any, Any, None]]] = {
    function.__name__: function
    for function in (
        idle_connections, slow_bodies, json_lists, multipart, streams, logins, registrations,
    )
}  # fmt: skip


@asynccontextmanager
async def running(name: str, flood: Flood) -> AsyncIterator[Counter[str]]:
    """Run a flood in a process of its own; the counter has its outcomes after the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(name, flood, theirs), daemon=True)
    process.start()
    theirs.close()  # so that reading ours ends when the process does
    counts: Counter[str] = Counter()
    try:
        await asyncio.to_thread(ours.recv)  # it has loaded, and begins
        yield counts
        counts.update(await asyncio.to_thread(ours.recv))
    finally:
        process.kill()
        process.join()


def _run(name: str, flood: Flood, pipe: Connection) -> None:
    counts: Counter[str] = Counter()
    pipe.send("begins")
    asyncio.run(FLOODS[name](flood, counts))
    pipe.send(counts)


async def _hold(
    flood: Flood, counts: Counter[str], number: int, head: bytes, drip: bytes = b""
) -> None:
    """Open connections, send ``head`` and then ``drip`` each second, until they are closed."""

    async def one() -> None:
        reader, writer = await flood.connect()
        writer.write(head)
        counts["opened"] += 1
        ended = asyncio.create_task(reader.read())
        until = time.monotonic() + flood.seconds
        while not ended.done() and time.monotonic() < until:
            await asyncio.wait({ended}, timeout=1)
            if drip and not ended.done():
                writer.write(drip)
        counts["closed by the service" if ended.done() else "still open"] += 1
        ended.cancel()
        writer.close()

    await _together(flood, counts, number, one)


async def _together(
    flood: Flood, counts: Counter[str], number: int, one: Callable[[], Awaitable[None]]
) -> None:
    """Start ``number`` of them, a hundred at a time, and let them go on side by side."""

    async def guarded() -> None:
        try:
            await one()
        except OSError as error:
            counts[type(error).__name__] += 1

    tasks = []
    for started in range(number):
        tasks.append(asyncio.create_task(guarded()))
        if started % 100 == 99:
            await asyncio.sleep(0.02)
    await asyncio.wait(tasks, timeout=flood.seconds + 5)
    for task in tasks:
        task.cancel()


async def _post(
    flood: Flood,
    counts: Counter[str],
    side_by_side: int,
    content_type: bytes,
    body: bytes,
    path: bytes = b"/v1/jobs",
) -> None:
    """Send ``body`` again and again, each time on a new connection."""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    head %= (path, content_type, len(body))
    until = time.monotonic() + flood.seconds

    async def one() -> None:
        while time.monotonic() < until:
            try:
                reader, writer = await flood.connect()
                writer.write(head)
                answered = asyncio.create_task(reader.readline())
                with suppress(OSError):
                    for start in range(0, len(body), 1 << 18):
                        if answered.done():
                            break
                        writer.write(body[start : start + (1 << 18)])
                        await writer.drain()
                        counts["MB sent"] += 1 if start % MB < (1 << 18) else 0
                async with asyncio.timeout(60):
                    counts[_status(await answered)] += 1
                writer.close()
            except (OSError, TimeoutError) as error:
                counts[type(error).__name__] += 1
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one() for _ in range(side_by_side)))


async def _repeat(
    flood: Flood, counts: Counter[str], side_by_side: int, request: Callable[[], bytes]
) -> None:
    """Send small requests one after the other over kept connections."""
    until = time.monotonic() + flood.seconds

    async def one() -> None:
        while time.monotonic() < until:
            try:
                reader, writer = await flood.connect()
                while time.monotonic() < until:
                    writer.write(request())
                    async with asyncio.timeout(30):
                        status = await reader.readline()
                        counts[_status(status)] += 1
                        length = 0
                        while (line := await reader.readline()) not in (b"\r\n", b""):
                            name, _, value = line.partition(b":")
                            if name.lower() == b"content-length":
                                length = int(value)
                        await reader.readexactly(length)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                counts[type(error).__name__] += 1
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one() for _ in range(side_by_side)))


def _form(body: str) -> bytes:
    return (
        "POST /v1/auth/token HTTP/1.1\r\nHost: x\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _status(line: bytes) -> str:
    words = line.split()
    return words[1].decode() if len(words) > 1 else "closed"
