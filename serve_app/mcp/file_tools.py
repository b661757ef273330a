"""Tools that take files in, and hand out what jobs made."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult

from serve_app.mcp.api_client import ApiContext, AtelierAPI
from serve_app.mcp.arguments import Base64Data, FileName, JobId, OutputName, Purpose
from serve_app.mcp.results import job_result
from serve_app.mcp.schemas import Job, UploadedFile


async def upload_file(
    ctx: ApiContext, data: Base64Data, name: FileName = "upload", purpose: Purpose = "input"
) -> UploadedFile:
    """Store a picture or a sound, to be named in inputs as {"file_id": id}.

    A file at a public URL needs no upload: name it in the input as {"url": "https://..."}. The key
    needs the scope `files`.
    """
    head, comma, encoded = data.partition(",")
    try:
        content = base64.b64decode(encoded if comma else head, validate=True)
    except binascii.Error as error:
        raise ToolError(f"`data` is not base64: {error}") from error
    return UploadedFile.model_validate(await AtelierAPI.of(ctx).upload(name, content, purpose))


async def get_output(
    ctx: ApiContext, job_id: JobId, name: OutputName = None
) -> Annotated[CallToolResult, Job]:
    """Get what a job made: pictures to look at, and links to films, sounds and large pictures.

    The links work without a key until they expire; call again for fresh ones.
    """
    job = Job.from_api(await AtelierAPI.of(ctx).get(f"/v1/jobs/{job_id}"))
    if job.status != "succeeded":
        reason = f": {job.error.detail}" if job.error else ""
        raise ToolError(f"The job is {job.status}{reason}. It has outputs once it is succeeded.")
    outputs = [output for output in job.outputs if name in (None, output.name)]
    if not outputs:
        names = ", ".join(output.name for output in job.outputs)
        raise ToolError(f"The job made no output of this name. It made: {names}")
    return await job_result(job, outputs)
