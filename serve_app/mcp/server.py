"""The MCP server with its tools, for whatever transport carries its messages."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, create_model

from serve_app.mcp.api_client import ApiContext
from serve_app.mcp.catalog_tools import get_balance, get_generator, list_generators, quote
from serve_app.mcp.file_tools import get_output, upload_file
from serve_app.mcp.job_tools import (
    cancel_job,
    create_job,
    generate_image,
    get_job,
    list_jobs,
    wait_for_job,
)

INSTRUCTIONS = """
Atelier makes images, films, narrated lessons, story videos and 3D turntables, and charges credits.

For one picture from words call generate_image. For all else: list_generators, get_generator (the
input's schema and an example), quote (the price, and whether the input is valid), create_job,
wait_for_job until its status is succeeded, get_output. Tell the user the price before an order that
is not small. Use an idempotency_key wherever a call may be repeated, so that it is charged once.
"""


def _hints(
    *, reads: bool = False, destroys: bool = False, repeatable: bool = False
) -> ToolAnnotations:
    return ToolAnnotations(
        read_only_hint=reads,
        destructive_hint=destroys,
        idempotent_hint=repeatable or reads,
        open_world_hint=False,
    )


class _NothingElse(BaseModel):
    """Arguments of other names are refused: a misspelled one would be paid for and not followed."""

    model_config = ConfigDict(extra="forbid")


def _tool(function: Callable[..., Any], title: str, hints: ToolAnnotations) -> Tool:
    words = inspect.cleandoc(function.__doc__ or "")
    tool = Tool.from_function(function, title=title, description=words, annotations=hints)
    lenient = tool.fn_metadata.arg_model
    strict = create_model(lenient.__name__, __base__=(lenient, _NothingElse))
    tool.fn_metadata.arg_model = cast("type[ArgModelBase]", strict)
    tool.parameters = strict.model_json_schema(by_alias=True)
    return tool


TOOLS: tuple[tuple[Callable[..., Any], str, ToolAnnotations], ...] = (
    (list_generators, "List generators", _hints(reads=True)),
    (get_generator, "Read a generator's input", _hints(reads=True)),
    (quote, "Ask for the price", _hints(reads=True)),
    (generate_image, "Draw pictures", _hints()),
    (create_job, "Create a job", _hints()),
    (wait_for_job, "Wait for a job", _hints(reads=True)),
    (get_job, "Read a job", _hints(reads=True)),
    (get_output, "Get what a job made", _hints(reads=True)),
    (cancel_job, "Cancel a job", _hints(destroys=True, repeatable=True)),
    (list_jobs, "List jobs", _hints(reads=True)),
    (upload_file, "Upload a picture or a sound", _hints()),
    (get_balance, "Read the balance", _hints(reads=True)),
)


@functools.cache
def _tools() -> tuple[Tool, ...]:
    """The tools, described once: their schemas take longer than all else of an application."""
    return tuple(_tool(*described) for described in TOOLS)


async def _generator_resource(ctx: ApiContext, name: str) -> str:
    try:
        return (await get_generator(ctx, name)).model_dump_json()
    except ToolError as error:
        raise ResourceError(str(error)) from error


def create_server(open_api: Callable[[], httpx.AsyncClient]) -> MCPServer[httpx.AsyncClient]:
    """Create the server. ``open_api`` opens a client of the HTTP API, as often as the transport
    starts the server; it is closed with it."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[httpx.AsyncClient]) -> AsyncIterator[httpx.AsyncClient]:
        async with open_api() as http:
            yield http

    server = MCPServer[httpx.AsyncClient](
        "atelier",
        title="Atelier",
        version="0.1.0",
        instructions=INSTRUCTIONS.strip(),
        tools=list(_tools()),
        log_level="WARNING",
        lifespan=lifespan,
        subscriptions=False,  # nothing here changes while somebody listens
    )
    server.resource(
        "atelier://generators/{name}",
        name="generator",
        title="A generator",
        description="The JSON Schema of a generator's input, and an example.",
        mime_type="application/json",
    )(_generator_resource)
    return server
