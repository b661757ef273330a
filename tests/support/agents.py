"""An agent: the SDK's own MCP client before a served API."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ImageContent, TextContent
from PIL import Image

from tests.support.http import Person, World

PATIENCE_S = 300  # only there to end a hang
GENERATORS = [f"deployments.generators.{name}" for name in ("image", "video3d")]
CIRCLE = "a big yellow circle on a blue background"
PICTURE = {"prompt": CIRCLE, "width": 64, "height": 64, "seed": 7}


async def key_of(person: Person, *scopes: str) -> str:
    wanted = scopes or ("jobs:read", "jobs:write", "billing", "files")
    made = await person.post("/v1/api-keys", json={"name": "agent", "scopes": wanted})
    return str(made.json()["key"])


@asynccontextmanager
async def connected(api: World, key: str, mode: str = "auto") -> AsyncIterator[Client]:
    """A client whose messages go over the socket; ``mode`` "legacy" opens with a handshake."""
    assert api.door is not None
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http:
        transport = streamable_http_client(f"{api.door.url}/mcp", http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=PATIENCE_S) as client:
            yield client


@asynccontextmanager
async def kept_connected(api: World, key: str) -> AsyncIterator[Client]:
    """The same for a fixture, whose two halves run in two tasks: the client lives in a third."""
    found: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
    is_over = asyncio.Event()

    async def keep() -> None:
        async with connected(api, key) as client:
            found.set_result(client)
            await is_over.wait()

    keeping = asyncio.create_task(keep())
    await asyncio.wait([keeping, found], return_when=asyncio.FIRST_COMPLETED)
    try:
        if keeping.done():
            await keeping
        yield found.result()
    finally:
        is_over.set()
        await keeping


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the tool answers as structured content, which its text repeats."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, words(result)
    assert result.structured_content is not None
    assert json.loads(words(result)) == result.structured_content
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """What an agent reads that the tool refuses."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return words(result)


def words(result: CallToolResult) -> str:
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


def pictures(result: CallToolResult) -> list[Image.Image]:
    """The pictures that a model would see."""
    assert not result.is_error, words(result)
    shown = [block for block in result.content if isinstance(block, ImageContent)]
    return [Image.open(io.BytesIO(base64.b64decode(block.data))) for block in shown]
