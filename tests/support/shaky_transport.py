"""A transport of httpx that breaks connections where a test says so."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Seen:
    """A request, its answer's status and ``Retry-After`` (0 without), and when that came: seconds
    of the monotonic clock."""

    request: httpx.Request
    status: int
    retry_after_s: float
    at: float


class ShakyTransport(httpx.AsyncHTTPTransport):
    """Sends each request whole. Of those that ``loses`` names the answer is not delivered, the
    first ``times``; events that ``cuts`` names break off behind the first with an id, once."""

    def __init__(
        self,
        loses: Callable[[httpx.Request], bool] = lambda _: False,
        times: int = 1,
        cuts: Callable[[httpx.Request], bool] = lambda _: False,
    ) -> None:
        super().__init__()
        self._loses, self._left, self._cuts, self._has_cut = loses, times, cuts, False
        self.seen: list[Seen] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        asked_s = float(answer.headers.get("retry-after", 0))
        self.seen.append(Seen(request, answer.status_code, asked_s, time.monotonic()))
        if self._left and self._loses(request):
            self._left -= 1
            await answer.aclose()
            raise httpx.ReadError("the connection was lost", request=request)
        if self._cuts(request) and not self._has_cut:
            self._has_cut = True
            answer.stream = _CutOff(answer)
        return answer


class _CutOff(httpx.AsyncByteStream):
    """Events that end with an error behind the first one that has an id."""

    def __init__(self, answer: httpx.Response) -> None:
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        self._stream = answer.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece
            if b"id: " in piece:
                raise httpx.ReadError("the connection was lost")

    async def aclose(self) -> None:
        await self._stream.aclose()
