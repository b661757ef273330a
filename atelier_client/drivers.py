"""The two ways to take the steps of a flow: by blocking, and on an event loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from atelier_client.calls import (
    Body,
    Call,
    Emit,
    End,
    Exchange,
    Flow,
    Open,
    Read,
    Send,
    Sleep,
    Step,
    advance,
)
from atelier_client.retries import Retries, exchange

T = TypeVar("T")

# The service keeps a waiting request for a minute, and sends something in a stream every 15 s.
TIMEOUT = httpx.Timeout(90.0, connect=10.0)


@dataclass(frozen=True)
class Connection:
    """What both drivers know: the address, the key, and when a call is sent again."""

    url: str
    api_key: str | None
    retries: Retries

    def build(self, http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
        """The request of a call. A signed link gets no key: its host may be another."""
        headers = dict(call.headers)
        if call.is_for_service and self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        body: dict[str, Any] = {}
        if call.json is not None:
            # As ASCII: half a surrogate pair reaches the service, which says where it is.
            body["content"] = json.dumps(call.json)
            headers["Content-Type"] = "application/json"
        if call.file is not None:
            body["files"] = {"file": call.file}
        if call.form:
            body["data"] = call.form
        return http.build_request(
            call.method,
            self.url.rstrip("/") + call.url if call.is_for_service else call.url,
            params=_given(call.params) or None,
            headers=headers,
            **body,
        )


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


class SyncDriver:
    """Takes the steps of flows by blocking."""

    def __init__(self, http: httpx.Client, connection: Connection) -> None:
        self.http, self._connection = http, connection

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result."""
        with ExitStack() as opened:
            step = advance(flow)
            while not isinstance(step, End):
                step = advance(flow, self._reply(step, opened))
            return step.value

    def iterate(self, flow: Flow[Any]) -> Generator[Any, None, None]:
        """Run a flow and yield what it emits."""
        with ExitStack() as opened:
            step = advance(flow)
            while not isinstance(step, End):
                if isinstance(step, Emit):
                    yield step.item
                    step = advance(flow)
                else:
                    step = advance(flow, self._reply(step, opened))

    def _reply(self, step: Step, opened: ExitStack) -> Any:
        try:
            match step:
                case Send(call):
                    return self._send(call)
                case Exchange(call):
                    return self.run(exchange(call, self._connection.retries))
                case Open(call):
                    response = self.run(exchange(call, self._connection.retries))
                    opened.callback(response.close)
                    return Body(response, response.iter_bytes())
                case Read(Body(chunks=Iterator() as chunks)):
                    return next(chunks, b"")
                case Sleep(seconds):
                    return time.sleep(seconds)
                case _:
                    raise TypeError(f"no step of a flow that is run: {step}")
        except Exception as error:  # the flow decides what it means
            return error

    def _send(self, call: Call) -> httpx.Response:
        response = self.http.send(self._connection.build(self.http, call), stream=True)
        if not call.stream or not response.is_success:
            response.read()
        return response


class AsyncDriver:
    """Takes the steps of flows on an event loop.

    Flows themselves read and write local files, in pieces as they come from the network.
    """

    def __init__(self, http: httpx.AsyncClient, connection: Connection) -> None:
        self.http, self._connection = http, connection

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result."""
        async with AsyncExitStack() as opened:
            step = advance(flow)
            while not isinstance(step, End):
                step = advance(flow, await self._reply(step, opened))
            return step.value

    async def iterate(self, flow: Flow[Any]) -> AsyncIterator[Any]:
        """Run a flow and yield what it emits."""
        async with AsyncExitStack() as opened:
            step = advance(flow)
            while not isinstance(step, End):
                if isinstance(step, Emit):
                    yield step.item
                    step = advance(flow)
                else:
                    step = advance(flow, await self._reply(step, opened))

    async def _reply(self, step: Step, opened: AsyncExitStack) -> Any:
        try:
            match step:
                case Send(call):
                    return await self._send(call)
                case Exchange(call):
                    return await self.run(exchange(call, self._connection.retries))
                case Open(call):
                    response = await self.run(exchange(call, self._connection.retries))
                    opened.push_async_callback(response.aclose)
                    return Body(response, response.aiter_bytes())
                case Read(Body(chunks=AsyncIterator() as chunks)):
                    return await anext(chunks, b"")
                case Sleep(seconds):
                    return await asyncio.sleep(seconds)
                case _:
                    raise TypeError(f"no step of a flow that is run: {step}")
        except Exception as error:  # the flow decides what it means
            return error

    async def _send(self, call: Call) -> httpx.Response:
        response = await self.http.send(self._connection.build(self.http, call), stream=True)
        if not call.stream or not response.is_success:
            await response.aread()
        return response
