"""Requests that mean the same: HEAD is GET without a body, and ``/v1/jobs/`` is ``/v1/jobs``.

A redirect would not do for the slash: clients send the next request as GET, and without its body.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.http.docs import PAGE

# In a scope: the client asked by HEAD, so a route may leave the body unmade.
IS_HEAD = "atelier.is_head"
# In a scope: the path as the client wrote it, where it is not ``path``.
SENT_PATH = "atelier.sent_path"


class EquivalentsMiddleware:
    """Hands HEAD on as GET and drops the body of the answer; takes one slash off a path's end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        has_slash = scope["type"] == "http" and _has_slash(scope["path"])
        if not (is_head or has_slash):
            await self._app(scope, receive, send)
            return
        # A copy: the server still goes by what the client sent.
        meant = dict(scope)
        if is_head:
            meant |= {"method": "GET", IS_HEAD: True}
        if has_slash:
            meant |= {"path": scope["path"][:-1], SENT_PATH: scope["path"]}
            meant["raw_path"] = (scope.get("raw_path") or b"").removesuffix(b"/")

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(meant, receive, send_without_body if is_head else send)
        finally:
            if "route" in meant:  # for the log and the metrics
                scope["route"] = meant["route"]


def _has_slash(path: str) -> bool:
    # The page of the documentation names its files relative to its own address: it is redirected.
    return len(path) > 1 and path.endswith("/") and not path.endswith(f"{PAGE}/")
