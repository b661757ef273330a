"""Server-sent events as an answer that costs little while nothing happens.

FastAPI's own has four tasks and two queues for every stream, of which a user may keep hundreds
open: 71 kB of memory against the 40 kB here (``python -m benchmarks.event_streams``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

# What the OpenAPI document says of the answer, as FastAPI does for its own.
EVENT_SOURCE: dict[str, Any] = {
    "content": {
        "text/event-stream": {
            "itemSchema": {
                "type": "object",
                "properties": {
                    "data": {"type": "string"},
                    "event": {"type": "string"},
                    "id": {"type": "string"},
                    "retry": {"type": "integer", "minimum": 0},
                },
            }
        }
    }
}

KEEP_ALIVE = format_sse_event(comment="ping")

_HEADERS = {
    "Cache-Control": "no-cache, no-transform",  # a proxy that compresses delays events
    "X-Accel-Buffering": "no",
}


def encode_event(name: str, data: dict[str, Any], event_id: str | None = None) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data), id=event_id)


async def encoded(
    events: AsyncGenerator[tuple[str, dict[str, Any], str | None] | None, None],
) -> AsyncGenerator[bytes, None]:
    """Encode events, each a name, data and an id; ``None`` is a comment that keeps proxies from
    closing the connection."""
    async with aclosing(events):
        async for event in events:
            yield KEEP_ALIVE if event is None else encode_event(*event)


class EventSource(EventSourceResponse):
    """Sends events, as ``encode_event`` makes them, until they end or the client disconnects."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers=_HEADERS)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_events(send))
        leaving = asyncio.create_task(until_disconnected(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()  # raises what went wrong
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_events(self, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        async with aclosing(self._events) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_disconnected(receive: Receive) -> None:
    """Return when the client has left, has its answer, or sends a body after the one it had."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or message.get("body"):
            return
