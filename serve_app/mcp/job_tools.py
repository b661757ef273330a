"""Tools that make, follow, cancel and list jobs."""

from __future__ import annotations

import time
from typing import Annotated, Any

from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult

from serve_app.mcp.api_client import ApiContext, AtelierAPI
from serve_app.mcp.arguments import (
    After,
    Count,
    Format,
    GeneratorName,
    IdempotencyKey,
    JobId,
    JobInput,
    NegativePrompt,
    PageSize,
    Priority,
    Prompt,
    Seed,
    Side,
    Status,
    TimeoutSeconds,
)
from serve_app.mcp.results import job_result
from serve_app.mcp.schemas import Job, Jobs, JobSummary

FINAL = ("succeeded", "failed", "canceled")
# Between two looks at a job whose progress somebody follows.
PROGRESS_INTERVAL_S = 2.0
MAX_WAIT_S = 60.0  # of one request to the API


async def create_job(
    ctx: ApiContext,
    generator: GeneratorName,
    input: JobInput,
    priority: Priority = "normal",
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Order something from a generator. Spends credits; returns at once with the job's id.

    Follow with wait_for_job, then get_output. The price (see quote) is held now, charged when the
    job succeeds, and given back when it fails.
    """
    order = {"generator": generator, "input": input, "priority": priority}
    return Job.from_api(await AtelierAPI.of(ctx).post("/v1/jobs", order, idempotency_key))


async def generate_image(
    ctx: ApiContext,
    prompt: Prompt,
    width: Side = None,
    height: Side = None,
    n: Count = 1,
    seed: Seed = None,
    negative_prompt: NegativePrompt = None,
    format: Format = "png",
    idempotency_key: IdempotencyKey = None,
    timeout_s: TimeoutSeconds = 50,
) -> Annotated[CallToolResult, Job]:
    """Draw pictures from a prompt and wait for them. Spends credits, two for a small picture.

    If they are not there in time, the job goes on: call wait_for_job with its id, then get_output.
    For edits, masks, LoRAs and the like use create_job with the generator `image`.
    """
    api = AtelierAPI.of(ctx)
    given = {
        "prompt": prompt,
        "width": width,
        "height": height,
        "n": n,
        "seed": seed,
        "negative_prompt": negative_prompt,
        "format": format,
    }
    order = {
        "generator": "image",
        "input": {name: value for name, value in given.items() if value is not None},
    }
    created = await api.post("/v1/jobs", order, idempotency_key)
    job = Job.from_api(await _until_final(ctx, created["id"], timeout_s))
    if job.error is not None:
        raise ToolError(f"The job {job.id} failed, and cost nothing: {job.error.detail}")
    return await job_result(job, job.outputs)


async def wait_for_job(ctx: ApiContext, job_id: JobId, timeout_s: TimeoutSeconds = 50) -> Job:
    """Wait until a job has ended, or `timeout_s` seconds; progress is reported meanwhile.

    If its status is still queued or running, call again. Films take minutes.
    """
    return Job.from_api(await _until_final(ctx, job_id, timeout_s))


async def _until_final(ctx: ApiContext, job_id: str, timeout_s: float) -> dict[str, Any]:
    """Return the job when it has ended or ``timeout_s`` seconds have passed.

    Only who sent a progress token hears of progress; without one there is no need to look often.
    """
    api, until = AtelierAPI.of(ctx), time.monotonic() + timeout_s
    is_followed = "progress_token" in (ctx.request_context.meta or {})
    interval_s = PROGRESS_INTERVAL_S if is_followed else MAX_WAIT_S
    wait_s, reported = 0.0, -1.0
    while True:
        job: dict[str, Any] = await api.get(f"/v1/jobs/{job_id}", wait=wait_s)
        if job["progress"] > reported:  # it may begin anew; what is reported must not fall
            reported = job["progress"]
            await ctx.report_progress(reported, 1.0, job["stage"])
        wait_s = min(interval_s, until - time.monotonic())
        if job["status"] in FINAL or wait_s <= 0:
            return job


async def get_job(ctx: ApiContext, job_id: JobId) -> Job:
    """Read a job as it is now: status, progress, cost, and fresh links to its outputs."""
    return Job.from_api(await AtelierAPI.of(ctx).get(f"/v1/jobs/{job_id}"))


async def cancel_job(ctx: ApiContext, job_id: JobId) -> Job:
    """Cancel a job. One that waits costs nothing; one that runs costs the share that was done.

    What it made so far is lost. Calling this for a job that has ended changes nothing.
    """
    return Job.from_api(await AtelierAPI.of(ctx).post(f"/v1/jobs/{job_id}/cancel"))


async def list_jobs(
    ctx: ApiContext,
    status: Status = None,
    generator: GeneratorName | None = None,
    limit: PageSize = 10,
    after: After = None,
) -> Jobs:
    """List the account's jobs, newest first. The list may lack the last seconds."""
    page = await AtelierAPI.of(ctx).get(
        "/v1/jobs", status=status, generator=generator, limit=limit, after=after
    )
    return Jobs(jobs=[JobSummary.from_api(one) for one in page["data"]], next=page["next"])
