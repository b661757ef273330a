"""ASGI middleware: request id, access log, metrics, last-resort 500, bodies that stay unread.

Not Starlette's ``BaseHTTPMiddleware``: that one runs the route in a second task and buffers
streams, which costs latency and breaks disconnects of event streams.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.ids import new_id
from serve_app.http.errors import Problem, Unavailable
from serve_app.http.metrics import Metrics
from serve_app.http.problems import problem_response
from serve_app.http.request_context import RequestContext, put_context
from serve_app.http.security_headers import add_security_headers

log = structlog.get_logger()

_ENDED = "The process that had the request ends; send it again."
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# The rest of a body of this size is read and thrown away: cheaper than a new connection.
SMALL_BODY_BYTES = 64 << 10
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# A line of the log is as long as we say, not as the client's path.
MAX_LOGGED_PATH = 300
UNLOGGED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class ObservabilityMiddleware:
    """Sets the request id and the security headers, logs and counts the request, turns uncaught
    exceptions into a 500.

    ``https_only``: browsers are told to use https whatever the request came over, for a service
    that does not see that its TLS ends before it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, https_only: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._https_only = https_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope)
        context = RequestContext(request_id=_request_id(sent))
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
                add_security_headers(
                    headers,
                    is_https=self._https_only or scope["scheme"] == "https",
                    is_private="authorization" in sent or "x-api-key" in sent,
                )
                for name, value in context.response_headers.items():
                    headers[name] = value
                streamed = headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except ClientDisconnect:
                status = 499  # as nginx counts who left before the answer
            except asyncio.CancelledError:
                # The client has left, which hears nothing, or the process ends, and the server
                # would say 500 in plain text. Which of them cannot be told: it counts as neither.
                if not status:
                    with suppress(Exception):
                        answer = problem_response(Unavailable(_ENDED), scope["path"])
                        await answer(scope, receive, send_with_headers)
                    status = 0
                raise
            except Exception as error:
                # The traceback goes to the log; the answer shows nothing of it.
                log.exception(
                    "request_failed", path=_logged_path(scope), error=type(error).__name__
                )
                if status:
                    raise
                await problem_response(Problem(), scope["path"])(scope, receive, send_with_headers)
            finally:
                self._log_request(scope, context, status, time.perf_counter() - started, streamed)

    def _log_request(
        self, scope: Scope, context: RequestContext, status: int, seconds: float, streamed: bool
    ) -> None:
        # A label holds what we chose, never what a client sent: each new value is a time series.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route_template(scope)
        self._metrics.count_answer(method, route, str(status))
        if not streamed:
            self._metrics.seconds.observe(
                seconds, method=method, route=route, status_class=_status_class(status)
            )
        if scope["path"] not in UNLOGGED_PATHS:
            log.info(
                "request",
                method=method,
                path=_logged_path(scope),
                status=status,
                ms=round(seconds * 1000, 1),
                user_id=context.user_id,
            )


class UnreadBodyMiddleware:
    """Closes the connection after an answer that came before a large body was read.

    Otherwise the server would go on reading it, to find where the next request begins.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _announces_large_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        is_read = False

        async def watched() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or not message.get("more_body", False)
            return message

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_read:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, watched, send_closing)


def _announces_large_body(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    is_small = length.isascii() and length.isdigit() and int(length[:19]) <= SMALL_BODY_BYTES
    return not is_small or "transfer-encoding" in headers


def _request_id(headers: Headers) -> str:
    request_id = headers.get("x-request-id", "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else new_id("req")


def _logged_path(scope: Scope) -> str:
    path: str = scope["path"]
    return path[:MAX_LOGGED_PATH]


def _status_class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status < 600 else "other"


def _route_template(scope: Scope) -> str:
    """Return ``/v1/jobs/{job_id}``, not the path: metrics must not have a label per job."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "none"))
