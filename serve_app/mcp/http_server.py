"""The MCP server that answers messages of ``/mcp``, and what carries one to it."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI, Response
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message, Receive, Scope, Send

from serve_app.auth.rate_limits import IN_PROCESS
from serve_app.mcp.server import create_server

# In process the host is nobody's.
BASE_URL = "http://atelier"


def create_http_server(api: FastAPI) -> Server[Any]:
    """Create the MCP server whose tools call ``api`` in process."""

    async def in_process(scope: Scope, receive: Receive, send: Send) -> None:
        # Its address is nobody's, so nothing is counted by it; the message itself was.
        await api({**scope, IN_PROCESS: True}, receive, send)

    def open_api() -> httpx.AsyncClient:
        transport = httpx.ASGITransport(in_process, raise_app_exceptions=False)
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
