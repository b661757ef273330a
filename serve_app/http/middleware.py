"""ASGI middleware: request id, limit of the body's size, access log, metrics, last-resort 500.

Not Starlette's ``BaseHTTPMiddleware``: that one runs the route in a second task and buffers
streams, which costs latency and breaks disconnects of event streams.
"""

from __future__ import annotations

import re
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.ids import new_id
from serve_app.http.errors import Problem, TooLarge
from serve_app.http.metrics import Metrics
from serve_app.http.problems import problem_response
from serve_app.http.request_context import RequestContext, put_context

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MEDIA_PATHS = re.compile(r"/v1/(jobs|files|generators/[^/]+/quote)")
_UNLOGGED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class ObservabilityMiddleware:
    """Sets the request id, logs and counts the request, turns uncaught exceptions into a 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(request_id=_request_id(scope))
        put_context(scope, context)
        started = time.perf_counter()
        status = 0
        streamed = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = context.request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                for name, value in context.response_headers.items():
                    headers[name] = value
                streamed = headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception as error:
                # The traceback goes to the log; the answer shows nothing of it.
                log.exception("request_failed", path=scope["path"], error=type(error).__name__)
                if status:
                    raise
                await problem_response(Problem(), scope["path"])(scope, receive, send_with_headers)
            finally:
                self._log_request(scope, context, status, time.perf_counter() - started, streamed)

    def _log_request(
        self, scope: Scope, context: RequestContext, status: int, seconds: float, streamed: bool
    ) -> None:
        method, route = scope["method"], _route_template(scope)
        self._metrics.requests.labels(method, route, status).inc()
        if not streamed:
            self._metrics.seconds.labels(method, route).observe(seconds)
        if scope["path"] not in _UNLOGGED_PATHS:
            log.info(
                "request",
                method=method,
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
                user_id=context.user_id,
            )


class BodySizeLimitMiddleware:
    """Refuses a body that is too large, by its Content-Length or as soon as too much has come.

    Calls that may carry media may have ``max_media_bytes``, all others ``max_bytes``.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_media_bytes: int) -> None:
        self._app = app
        self._max = max_bytes
        self._max_media = max(max_bytes, max_media_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._max_media if _MEDIA_PATHS.fullmatch(scope["path"]) else self._max
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced[:18]) > most:
            too_large = TooLarge(_words(most), headers={"Connection": "close"})
            await problem_response(too_large, scope["path"])(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                # While a body is read, FastAPI lets only its own exception type through.
                raise HTTPException(413, _words(most), headers={"Connection": "close"})
            return message

        await self._app(scope, counted, send)


def _words(most: int) -> str:
    return f"The body is larger than {most} bytes."


def _request_id(scope: Scope) -> str:
    request_id = Headers(scope=scope).get("x-request-id", "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else new_id("req")


def _route_template(scope: Scope) -> str:
    """Return ``/v1/jobs/{job_id}``, not the path: metrics must not have a label per job."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "none"))
