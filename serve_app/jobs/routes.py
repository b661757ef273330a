"""Jobs: submit, get (and wait), list, cancel, retry, erase, events, metadata."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime

from db.jobs.queries import JobFilter
from db.tables import Job
from serve_app.auth.identity import JobsReadDep, JobsWriteDep
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    IdempotencyKeyDep,
    LimitDep,
    require_json,
    validate_id,
)
from serve_app.http.pagination import Page, paginate
from serve_app.http.request_context import request_context
from serve_app.jobs.cancel import cancel
from serve_app.jobs.erase import erase
from serve_app.jobs.event_stream import JobEvents
from serve_app.jobs.read import MAX_WAIT_S, get_job, list_jobs, wait_for_job
from serve_app.jobs.retry import retry
from serve_app.jobs.schemas import JobView, MetadataView, RetryBody, Status, SubmitBody
from serve_app.jobs.submit import Submission, confirm_push, submit
from serve_app.jobs.view import job_view, job_views
from serve_app.resources import Clients

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post("", status_code=202, dependencies=[Depends(require_json)])
async def create(
    body: SubmitBody,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    response: Response,
    afterwards: BackgroundTasks,
    idempotency_key: IdempotencyKeyDep = None,
) -> JobView:
    """Submit a job. Its price is held until it ends; see `/v1/generators/{name}/quote`."""
    context = request_context(request)
    done = await submit(clients, identity, body, idempotency_key, context.request_id)
    return await _submission_view(clients, done, response, afterwards)


async def _submission_view(
    clients: Clients, done: Submission, response: Response, afterwards: BackgroundTasks
) -> JobView:
    if done.pushed:
        afterwards.add_task(confirm_push, clients.sessions, done.job.id)
    if done.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/jobs/{done.job.id}"
    return await job_view(clients, done.job)


@router.get("")
async def index(
    identity: JobsReadDep,
    clients: ClientsDep,
    status: Status | None = None,
    generator: Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,64}$")] = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    limit: LimitDep = 20,
    after: AfterDep = None,
) -> Page[JobView]:
    """Your jobs, newest first."""
    which = JobFilter(status, generator, created_after, created_before)
    rows = await list_jobs(clients, identity.user_id, which, after, limit + 1)
    page_rows, has_more, following = paginate(rows, limit)
    return Page(data=await job_views(clients, page_rows), has_more=has_more, next=following)


@router.get("/{job_id}")
async def get(
    job_id: str,
    identity: JobsReadDep,
    clients: ClientsDep,
    request: Request,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a final state.")
    ] = 0,
) -> JobView:
    """A job; its outputs carry links that work for a while."""
    job = await wait_for_job(
        clients, identity.user_id, validate_id(job_id, "job"), wait, request.is_disconnected
    )
    return await job_view(clients, job)


@router.post("/{job_id}/cancel")
async def cancel_job(job_id: str, identity: JobsWriteDep, clients: ClientsDep) -> JobView:
    """Cancel a job: a waiting one ends now and costs nothing, a running one is asked to stop.

    Calling it again, or for a job that has ended, changes nothing.
    """
    job = await cancel(clients, identity.user_id, validate_id(job_id, "job"))
    return await job_view(clients, job)


@router.post("/{job_id}/retry", status_code=202)
async def retry_job(
    job_id: str,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    response: Response,
    afterwards: BackgroundTasks,
    body: RetryBody | None = None,
    idempotency_key: IdempotencyKeyDep = None,
) -> JobView:
    """A new job with the input of one that ended, seed included, at today's price.

    With `scene`: that scene of a film made anew with another seed, and the film cut again.
    """
    done = await retry(
        clients,
        identity,
        validate_id(job_id, "job"),
        body or RetryBody(),
        idempotency_key,
        request_context(request).request_id,
    )
    return await _submission_view(clients, done, response, afterwards)


@router.delete("/{job_id}", status_code=204)
async def delete(job_id: str, identity: JobsWriteDep, clients: ClientsDep) -> None:
    """Erase a job that ended: its input, outputs and metadata. What it cost stays in the ledger."""
    await erase(clients, identity.user_id, validate_id(job_id, "job"))


async def _followed(
    job_id: str, identity: JobsReadDep, clients: ClientsDep, response: Response
) -> Job:
    """The job whose events are asked for: read before the stream begins, so that a 404 is one."""
    # In addition to FastAPI's ``no-cache``: a proxy that compresses delays events.
    response.headers["Cache-Control"] = "no-transform"
    return await get_job(clients, identity.user_id, validate_id(job_id, "job"))


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    response_description="The events.",
)
async def events(
    job: Annotated[Job, Depends(_followed)],
    clients: ClientsDep,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Go on behind this event.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """What happens to the job, as server-sent events: `status`, `progress {fraction, stage}`,
    `preview {url}`, and at the end `done {job}`."""
    async with aclosing(JobEvents(clients, job, last_event_id).stream()) as stream:
        async for event in stream:
            yield event


@router.get("/{job_id}/metadata")
async def metadata(job_id: str, identity: JobsReadDep, clients: ClientsDep) -> MetadataView:
    """How the job was made: steps with timings, models, seed."""
    job = await get_job(clients, identity.user_id, validate_id(job_id, "job"))
    return MetadataView(job_id=job.id, metadata=await clients.documents.get(job.id) or {})
