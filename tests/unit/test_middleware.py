"""What is answered to a request whose task is canceled: the process ends, or the client left."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.http.metrics import Metrics
from serve_app.http.middleware import ObservabilityMiddleware

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/v1/jobs",
    "scheme": "http",
    "headers": [],
}


async def canceled(app: ASGIApp, metrics: Metrics, *, has_left: bool = False) -> list[Message]:
    """What is sent of a request that is canceled once ``app`` waits."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if has_left:
            raise OSError("the connection is closed")
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    task = asyncio.ensure_future(ObservabilityMiddleware(app, metrics)(dict(SCOPE), receive, send))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return sent


async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def begun(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.Event().wait()


async def test_a_request_that_the_end_of_the_process_cuts_off_is_to_be_sent_again() -> None:
    metrics = Metrics()
    start, body = await canceled(waiting, metrics)
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 503
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["retry-after"]) > 0
    assert headers["x-request-id"]
    assert json.loads(body["body"])["code"] == "unavailable"
    labels = {"method": "POST", "route": "none", "status": "503"}
    counted = metrics.registry.get_sample_value("atelier_http_requests_total", labels)
    assert counted == 0, "the client may have left"


async def test_an_answer_that_has_begun_is_not_answered_again() -> None:
    (start,) = await canceled(begun, Metrics())
    assert start["status"] == 200


async def test_who_has_left_is_not_told_anything() -> None:
    assert await canceled(waiting, Metrics(), has_left=True) == []
