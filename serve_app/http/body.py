"""A request whose body is bounded: in bytes, in time, and in the number of values of its JSON.

The bounds hold while the body comes in: one that breaks a bound is not read to its end. A large
body comes in on the disk, so that slow senders hold no memory.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope

from serve_app.http.errors import BadInput, FieldError, RequestTimeout, TooLarge, Unavailable

# A longer silence ends the request, and so does a body that is slower on the whole: a phone on a
# bad line sends more.
SILENCE_S = 10.0
GRACE_S = 10.0
MIN_BYTES_PER_S = 100_000
# Parsing less than this takes less time than handing it to a thread.
PARSE_INLINE_BYTES = 64 << 10
# Counted as commas and opening brackets, wherever they stand, while the body comes in.
MAX_JSON_MARKS = 100_000
MAX_JSON_VALUES = 10_000
MAX_JSON_DEPTH = 64

LARGE_BYTES = 1 << 20
# Bodies above LARGE_BYTES that one ingress process takes in at a time: they fill its disk.
MAX_COMING_IN = 64
MAX_COMING_IN_PER_USER = 4
# Of them those that are parsed and answered: each is in memory about three times over (bytes, text,
# values).
MAX_PARSED = 2
WAIT_S = 20.0


@dataclass(frozen=True)
class BodyLimits:
    """How large a body may be, in bytes: as a form with a file, and as anything else."""

    form_bytes: int
    other_bytes: int


class LargeBodies:
    """Bounds how many large bodies one process takes in at a time, each user's share, and how many
    of them are in memory."""

    def __init__(self) -> None:
        self._coming_in: Counter[str] = Counter()
        self._released = asyncio.Condition()
        self._parsed = asyncio.Semaphore(MAX_PARSED)

    @asynccontextmanager
    async def take_in(self, user_id: str) -> AsyncIterator[None]:
        """Hold a place while the block runs; wait for one before more of the body is read.

        Raises:
            Unavailable: there was none in time.
        """
        try:
            async with asyncio.timeout(WAIT_S), self._released:
                await self._released.wait_for(lambda: self._is_free(user_id))
                self._coming_in[user_id] += 1
        except TimeoutError:
            raise Unavailable("Too many large bodies at a time; try again soon.") from None
        try:
            yield
        finally:
            self._coming_in[user_id] -= 1
            if not self._coming_in[user_id]:
                del self._coming_in[user_id]
            async with self._released:
                self._released.notify_all()

    @asynccontextmanager
    async def in_memory(self) -> AsyncIterator[None]:
        """Keep a large body in memory while the block runs; it has come in, so this is short."""
        async with self._parsed:
            yield

    def _is_free(self, user_id: str) -> bool:
        mine = self._coming_in[user_id]
        return self._coming_in.total() < MAX_COMING_IN and mine < MAX_COMING_IN_PER_USER


class BoundedRequest(Request):
    """Reads the body of ``user_id`` within ``limits``; :meth:`aclose` gives back what it holds.

    Reading raises:
        TooLarge: the body is larger, by its ``Content-Length`` or as soon as too much has come.
        RequestTimeout: it comes too slowly.
        BadInput: its JSON has too many values, or is nested too deep.
        Unavailable: too many large bodies come in.
        starlette.requests.ClientDisconnect: the client went away.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        limits: BodyLimits,
        bodies: LargeBodies,
        user_id: str,
        *,
        is_form: bool = False,
    ) -> None:
        super().__init__(scope, receive)
        self.max_bytes = limits.form_bytes if is_form else limits.other_bytes
        self._bodies = bodies
        self._user_id = user_id
        self._held = AsyncExitStack()

    def belongs_to(self, user_id: str) -> None:
        """Say whose body it is, where that is known only when the call begins."""
        self._user_id = user_id

    async def aclose(self) -> None:
        """Give back the places that the body holds."""
        await self._held.aclose()

    def check_announced_size(self) -> None:
        """Refuse a body that says it is too large before anything of it is read."""
        announced = self.headers.get("content-length", "0")
        # A number that is none is the server's to refuse; one of 19 digits is too large for int64.
        if announced.isascii() and announced.isdigit() and int(announced[:19]) > self.max_bytes:
            raise _too_large(self.max_bytes)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece, within the limits of size and time."""
        self.check_announced_size()
        started, seen, is_large = time.monotonic(), 0, False
        pieces = super().stream()
        async with aclosing(pieces):
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        piece = await anext(pieces, None)
                except TimeoutError:
                    raise RequestTimeout from None
                if piece is None:
                    return
                seen += len(piece)
                if seen > self.max_bytes:
                    raise _too_large(self.max_bytes)
                if seen > LARGE_BYTES and not is_large:
                    is_large = True
                    waited_from = time.monotonic()
                    await self._held.enter_async_context(self._bodies.take_in(self._user_id))
                    started += time.monotonic() - waited_from
                if time.monotonic() - started > GRACE_S + seen / MIN_BYTES_PER_S:
                    raise RequestTimeout
                yield piece

    async def body(self) -> bytes:
        """Read the whole body; one with too many JSON values is refused where it has them."""
        if not hasattr(self, "_body"):
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        marks = size = 0
        with SpooledTemporaryFile(max_size=LARGE_BYTES) as file:
            async with aclosing(self.stream()) as stream:
                async for piece in stream:
                    marks += piece.count(b",") + piece.count(b"[") + piece.count(b"{")
                    if marks > MAX_JSON_MARKS:
                        raise _too_complex(f"more than {MAX_JSON_VALUES:,} values")
                    size += len(piece)
                    if size > LARGE_BYTES:
                        await asyncio.to_thread(file.write, piece)
                    else:
                        file.write(piece)
            if size > LARGE_BYTES:
                await self._held.enter_async_context(self._bodies.in_memory())
            file.seek(0)
            return await asyncio.to_thread(file.read) if size > LARGE_BYTES else file.read()

    async def json(self) -> Any:
        """Parse the body, off the event loop if it is large.

        The standard library's parser: on bodies that are one long string of base64, orjson takes
        the same time, and it knows neither byte order marks nor UTF-16.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            inline = len(body) <= PARSE_INLINE_BYTES
            self._json = _parse(body) if inline else await asyncio.to_thread(_parse, body)
        return self._json


def _parse(body: bytes) -> Any:
    try:
        value = json.loads(body)
    except RecursionError:
        raise _too_complex(f"more than {MAX_JSON_DEPTH} levels") from None
    _check_shape(value)
    return value


def _check_shape(value: Any) -> None:
    """Refuse too many levels or values; walks level by level."""
    level, values = [value], 1
    for _ in range(MAX_JSON_DEPTH):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        level = [
            child
            for item in containers
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        values += len(level)
        if values > MAX_JSON_VALUES:
            raise _too_complex(f"more than {MAX_JSON_VALUES:,} values")
    if any(isinstance(item, dict | list) for item in level):
        raise _too_complex(f"more than {MAX_JSON_DEPTH} levels")


def _too_large(max_bytes: int) -> TooLarge:
    # The rest of the body is not read, so the connection cannot be used again.
    return TooLarge(f"The body is larger than {max_bytes} bytes.", headers={"Connection": "close"})


def _too_complex(what: str) -> BadInput:
    detail = f"The body has {what}."
    error: FieldError = {"loc": [], "msg": detail, "code": "json_too_complex"}
    return BadInput(detail, errors=[error], headers={"Connection": "close"})
