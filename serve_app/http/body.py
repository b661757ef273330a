"""A request whose body is bounded: in bytes, in time, and in the number of values of its JSON.

The bounds hold while the body comes in: one that breaks a bound is not read to its end.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope

from serve_app.http.errors import BadInput, FieldError, RequestTimeout, TooLarge, Unavailable

# A longer silence ends the request, and so does a body that is slower on the whole: a phone on a
# bad line sends several times as much.
SILENCE_S = 10.0
GRACE_S = 10.0
MIN_BYTES_PER_S = 50_000
# Parsing less than this takes less time than handing it to a thread.
PARSE_INLINE_BYTES = 64 << 10
# Counted as commas and opening brackets. The largest input of a generator, a book's worth of text,
# has a tenth of them.
MAX_JSON_VALUES = 100_000
MAX_JSON_DEPTH = 64

LARGE_BYTES = 1 << 20
# Of JSON bodies above LARGE_BYTES, in one ingress process: each is held in memory about three
# times over (bytes, text, values). Files are not counted: they go to the disk.
MAX_LARGE = 4
MAX_LARGE_PER_USER = 2
LARGE_WAIT_S = 20.0


@dataclass(frozen=True)
class BodyLimits:
    """How large a body may be, in bytes: as a form with a file, and as anything else."""

    form_bytes: int
    other_bytes: int


class BoundedRequest(Request):
    """Reads the body within ``limits``.

    Reading raises:
        TooLarge: the body is larger, by its ``Content-Length`` or as soon as too much has come.
        RequestTimeout: it comes too slowly.
        BadInput: its JSON has too many values, or is nested too deep.
        starlette.requests.ClientDisconnect: the client went away.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: BodyLimits) -> None:
        super().__init__(scope, receive)
        self._limits = limits
        self._is_form = self.headers.get("content-type", "").lower().startswith("multipart/")

    @property
    def max_bytes(self) -> int:
        return self._limits.form_bytes if self._is_form else self._limits.other_bytes

    def check_announced_size(self) -> None:
        """Refuse a body that says it is too large before anything of it is read."""
        announced = self.headers.get("content-length", "0")
        # A number that is none is the server's to refuse; one of 19 digits is too large for int64.
        if announced.isascii() and announced.isdigit() and int(announced[:19]) > self.max_bytes:
            raise _too_large(self.max_bytes)

    def may_be_large(self) -> bool:
        """Whether the body may have to be held in memory and is worth a place in LargeBodies."""
        announced = self.headers.get("content-length", "")
        is_small = announced.isascii() and announced.isdigit() and int(announced) <= LARGE_BYTES
        return self.max_bytes > LARGE_BYTES and not self._is_form and not is_small

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece, within the limits of size and time."""
        self.check_announced_size()
        started, seen = time.monotonic(), 0
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
                if time.monotonic() - started > GRACE_S + seen / MIN_BYTES_PER_S:
                    raise RequestTimeout
                yield piece

    async def body(self) -> bytes:
        """Read the whole body; one with too many JSON values is refused where it has them."""
        if not hasattr(self, "_body"):
            pieces: list[bytes] = []
            values = 0
            async with aclosing(self.stream()) as stream:
                async for piece in stream:
                    values += piece.count(b",") + piece.count(b"[") + piece.count(b"{")
                    if values > MAX_JSON_VALUES:
                        raise _too_complex(f"more than {MAX_JSON_VALUES:,} values")
                    pieces.append(piece)
            self._body = b"".join(pieces)
        return self._body

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


class LargeBodies:
    """Bounds how many large JSON bodies one process holds at a time, and each user's share."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._released = asyncio.Condition()

    @asynccontextmanager
    async def place(self, user_id: str) -> AsyncIterator[None]:
        """Hold a place while the block runs; wait for one before anything of the body is read.

        Raises:
            Unavailable: there was none in time.
        """
        try:
            async with asyncio.timeout(LARGE_WAIT_S), self._released:
                await self._released.wait_for(lambda: self._is_free(user_id))
                self._held[user_id] += 1
        except TimeoutError:
            raise Unavailable("Too many large bodies at a time; try again soon.") from None
        try:
            yield
        finally:
            self._held[user_id] -= 1
            if not self._held[user_id]:
                del self._held[user_id]
            async with self._released:
                self._released.notify_all()

    def _is_free(self, user_id: str) -> bool:
        return self._held.total() < MAX_LARGE and self._held[user_id] < MAX_LARGE_PER_USER


def _parse(body: bytes) -> Any:
    try:
        value = json.loads(body)
    except RecursionError:
        raise _too_complex(f"more than {MAX_JSON_DEPTH} levels") from None
    if _is_deeper(value, MAX_JSON_DEPTH):
        raise _too_complex(f"more than {MAX_JSON_DEPTH} levels")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether ``value`` is nested deeper than ``levels``; walks level by level."""
    level = [value]
    for _ in range(levels):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _too_large(max_bytes: int) -> TooLarge:
    # The rest of the body is not read, so the connection cannot be used again.
    return TooLarge(f"The body is larger than {max_bytes} bytes.", headers={"Connection": "close"})


def _too_complex(what: str) -> BadInput:
    detail = f"The body has {what}."
    error: FieldError = {"loc": [], "msg": detail, "code": "json_too_complex"}
    return BadInput(detail, errors=[error], headers={"Connection": "close"})
