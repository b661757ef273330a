"""``POST /mcp``: the MCP server over Streamable HTTP, stateless.

A message is an ordinary call of the API: authenticated, counted and bounded before its body is
read. Any replica can answer it, because none keeps a session. There is no stream to open by GET,
so GET is answered with 405, as the protocol wants it then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Request, Response

from serve_app.auth.identity import IdentityDep
from serve_app.http.dependencies import ClientsDep, require_json
from serve_app.http.errors import OriginNotAllowed
from serve_app.routing import make_router, rate_class

router = make_router("/mcp", tags=["mcp"], documented=False)


class MCPService:
    """Answers messages by an MCP server whose tools call ``api`` in process.

    The server is made for the first message: its imports and the schemas of its tools take time and
    memory, which a replica that no agent asks does without.
    """

    def __init__(self, api: FastAPI) -> None:
        self._api = api
        self._making = asyncio.Lock()
        self._answer: Callable[[bytes], Response] | None = None

    async def answer(self, message: bytes) -> Response:
        """Return what answers ``message``; the first waits until the server is made."""
        async with self._making:
            if self._answer is None:
                self._answer = await asyncio.to_thread(self._make)
        return self._answer(message)

    def _make(self) -> Callable[[bytes], Response]:
        from serve_app.mcp.http_server import MCPAnswer, create_http_server

        return partial(MCPAnswer, create_http_server(self._api))


async def check_origin(request: Request, clients: ClientsDep) -> None:
    """Refuse pages of other origins than those the operator allows (DNS rebinding).

    Raises:
        OriginNotAllowed: the request comes from such a page.
    """
    origin, allowed = request.headers.get("origin"), clients.settings.limits.cors_origins
    if origin is not None and "*" not in allowed and origin not in allowed:
        raise OriginNotAllowed


@router.post("", dependencies=[Depends(require_json), Depends(check_origin)])
@rate_class("read")
async def receive_message(
    request: Request, identity: IdentityDep, _: Annotated[dict[str, Any], Body()]
) -> Response:
    """Answer one message of the Model Context Protocol."""
    service: MCPService = request.app.state.mcp
    return await service.answer(await request.body())
