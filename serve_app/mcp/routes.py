"""``POST /mcp``: the MCP server over Streamable HTTP, stateless.

A message is an ordinary call of the API: authenticated, counted and bounded before its body is
read. Any replica can answer it, because none keeps a session. There is no stream to open by GET,
so GET is answered with 405, as the protocol wants it then.
"""

from __future__ import annotations

from typing import Annotated, Any

import httpx
from fastapi import Body, Depends, FastAPI, Request, Response
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message, Receive, Scope, Send

from serve_app.auth.identity import IdentityDep
from serve_app.http.dependencies import ClientsDep, require_json
from serve_app.http.errors import OriginNotAllowed
from serve_app.mcp.server import create_server
from serve_app.routing import make_router

# In process the host is nobody's.
BASE_URL = "http://atelier"

router = make_router("/mcp", tags=["mcp"], documented=False)


def create_http_server(api: FastAPI) -> Server[Any]:
    """Create the MCP server whose tools call ``api`` in process."""

    def open_api() -> httpx.AsyncClient:
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport, base_url=BASE_URL, trust_env=False, timeout=None
        )

    server = create_server(open_api)
    # The way to the server that a session manager runs; the application it makes is not used.
    server.streamable_http_app(stateless_http=True)
    return server.session_manager.app


class MCPAnswer(Response):
    """Hands a message over to the MCP server, which answers in JSON or as an event stream."""

    def __init__(self, server: Server[Any], message: bytes) -> None:
        super().__init__()
        self._server = server
        self._message = message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        unread = [{"type": "http.request", "body": self._message, "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        # One for each message: what a manager is for is sessions, of which there are none, and the
        # tasks of a message end with it. No lifespan of the application has to hold it open.
        manager = StreamableHTTPSessionManager(
            self._server, stateless=True, max_request_body_size=max(1, len(self._message))
        )
        async with manager.run():
            await manager.handle_request(scope, replay, send)


async def check_origin(request: Request, clients: ClientsDep) -> None:
    """Refuse pages of other origins than those the operator allows (DNS rebinding).

    Raises:
        OriginNotAllowed: the request comes from such a page.
    """
    origin, allowed = request.headers.get("origin"), clients.settings.limits.cors_origins
    if origin is not None and "*" not in allowed and origin not in allowed:
        raise OriginNotAllowed


@router.post("", dependencies=[Depends(require_json), Depends(check_origin)])
async def receive_message(
    request: Request, identity: IdentityDep, _: Annotated[dict[str, Any], Body()]
) -> Response:
    """Answer one message of the Model Context Protocol."""
    return MCPAnswer(request.app.state.mcp, await request.body())
