"""Results with content: small pictures as images that a model sees, all else as links."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Iterable
from functools import cache

import httpx
import structlog
from mcp_types import CallToolResult, ContentBlock, ImageContent, ResourceLink, TextContent

from serve_app.mcp.schemas import Job, Output

log = structlog.get_logger()

SHOWN_TYPES = ("image/png", "image/jpeg", "image/webp")
# Of all pictures in one result: models take 5 MB of base64 for one picture, and clients keep the
# whole result.
MAX_SHOWN_BYTES = 3_500_000
DOWNLOAD_TIMEOUT_S = 20.0


async def job_result(job: Job, outputs: Iterable[Output]) -> CallToolResult:
    """Return the job with ``outputs`` as content."""
    content: list[ContentBlock] = [TextContent(text=job.model_dump_json())]
    left = MAX_SHOWN_BYTES
    async with httpx.AsyncClient(timeout=DOWNLOAD_TIMEOUT_S, verify=_ssl_context()) as http:
        for output in outputs:
            picture = None
            if output.content_type in SHOWN_TYPES and output.bytes <= left:
                picture = await _download(http, output)
            if picture is None:
                content.append(_link(output))
                continue
            left -= len(picture)
            encoded = (await asyncio.to_thread(base64.b64encode, picture)).decode()
            content.append(ImageContent(data=encoded, mime_type=output.content_type))
    return CallToolResult(content=content, structured_content=job.model_dump(mode="json"))


async def _download(http: httpx.AsyncClient, output: Output) -> bytes | None:
    """Return the file, or ``None`` where its link leads nowhere from here; it may elsewhere."""
    try:
        answer = await http.get(output.url)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        log.warning("output_not_shown", output=output.name, error=type(error).__name__)
        return None
    return answer.content


def _link(output: Output) -> ResourceLink:
    return ResourceLink(
        name=output.name, uri=output.url, mime_type=output.content_type, size=output.bytes
    )


@cache
def _ssl_context() -> ssl.SSLContext:
    """Read the certificates of the authorities once: it takes long."""
    return httpx.create_ssl_context()
