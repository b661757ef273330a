"""Jobs: submit, get (and wait), list, cancel, retry, erase, events, metadata."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Response, WebSocket

from db.jobs.queries import JobFilter
from serve_app.auth.identity import JobsReadDep, JobsWriteDep, is_still_valid
from serve_app.http.conditional import (
    CONDITIONAL_REQUEST,
    CONDITIONAL_RESPONSES,
    conditional,
)
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    CreatedAfterDep,
    CreatedBeforeDep,
    FreshDep,
    IdempotencyKeyDep,
    LimitDep,
    require_json,
    validate_id,
)
from serve_app.http.errors import JobNotFinal, NotFound, TooManyStreams
from serve_app.http.event_source import EVENT_SOURCE, EventSource, encoded
from serve_app.http.pagination import Page, paginate
from serve_app.http.problems import CREATED_AT, problem_responses
from serve_app.http.request_context import request_context
from serve_app.jobs.cancel import cancel
from serve_app.jobs.cancel_after import CancelAfterDep
from serve_app.jobs.erase import erase
from serve_app.jobs.event_stream import FollowedJob, JobEvents, find_job
from serve_app.jobs.metadata import read_metadata
from serve_app.jobs.metadata_filter import METADATA_FILTERS, PREFIX, MetadataFilterDep
from serve_app.jobs.page import page_of_jobs
from serve_app.jobs.read import MAX_WAIT_S, get_job, list_jobs, wait_for_job
from serve_app.jobs.retry import retry
from serve_app.jobs.schemas import JobView, MetadataView, RetryBody, Status, SubmitBody
from serve_app.jobs.submit import SUBMISSION_REFUSALS, Submission, submit
from serve_app.jobs.view import job_view, job_view_at, job_views, links_since
from serve_app.jobs.websocket import follow_by_websocket
from serve_app.resources import Clients
from serve_app.routing import body_kind, in_turn, make_router, query_names, rate_class

router = make_router("/v1/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    dependencies=[Depends(require_json)],
    responses={202: {"headers": CREATED_AT}, **problem_responses(NotFound, *SUBMISSION_REFUSALS)},
)
@body_kind("media")
@rate_class("submit")
async def create(
    body: SubmitBody,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    response: Response,
    cancel_after: CancelAfterDep,
    fresh: FreshDep,
    idempotency_key: IdempotencyKeyDep = None,
) -> JobView:
    """Submit a job. Its price is held until it ends; see `/v1/generators/{name}/quote`.

    Where the service keeps results, a job with the input and seed of an earlier one of yours has
    succeeded at once and costs nothing (`cached_from`).
    """
    request_id = request_context(request).request_id
    done = await submit(
        clients, identity, body, idempotency_key, request_id, cancel_after, fresh=fresh
    )
    return await _submission_view(clients, done, response)


async def _submission_view(clients: Clients, done: Submission, response: Response) -> JobView:
    if done.pushed:
        view = job_view_at(clients, done.job, done.position, links_since(clients))
    else:
        view = await job_view(clients, done.job)
    if done.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/jobs/{done.job.id}"
    return view


@router.get("", response_model=Page[JobView], openapi_extra=METADATA_FILTERS)
@query_names(PREFIX)
async def index(
    identity: JobsReadDep,
    clients: ClientsDep,
    metadata: MetadataFilterDep,
    status: Status | None = None,
    generator: Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,64}$")] = None,
    created_after: CreatedAfterDep = None,
    created_before: CreatedBeforeDep = None,
    batch: Annotated[str | None, Query(pattern=r"^bat_[0-9A-Z]{26}$")] = None,
    limit: LimitDep = 20,
    after: AfterDep = None,
) -> Page[JobView] | Response:
    """Your jobs, newest first."""
    which = JobFilter(
        status, generator, created_after, created_before, batch_id=batch, metadata=metadata
    )
    if which == JobFilter():
        page = await page_of_jobs(clients, identity.user_id, after, limit)
        return Response(page, media_type="application/json")
    rows = await list_jobs(clients, identity.user_id, which, after, limit + 1)
    page_rows, has_more, following = paginate(rows, limit)
    return Page(data=await job_views(clients, page_rows), has_more=has_more, next=following)


@router.get(
    "/{job_id}",
    responses={**CONDITIONAL_RESPONSES, **problem_responses(TooManyStreams)},
    openapi_extra=CONDITIONAL_REQUEST,
)
@conditional
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
    job = await wait_for_job(clients, identity, validate_id(job_id, "job"), wait, request.receive)
    return await job_view(clients, job)


@router.post("/{job_id}/cancel")
async def cancel_job(job_id: str, identity: JobsWriteDep, clients: ClientsDep) -> JobView:
    """Cancel a job: a waiting one ends now and costs nothing, a running one is asked to stop.

    Calling it again, or for a job that has ended, changes nothing.
    """
    job = await cancel(clients, identity.user_id, validate_id(job_id, "job"))
    return await job_view(clients, job)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    responses={
        202: {"headers": CREATED_AT},
        **problem_responses(JobNotFinal, *SUBMISSION_REFUSALS),
    },
)
@rate_class("submit")
async def retry_job(
    job_id: str,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    response: Response,
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
    return await _submission_view(clients, done, response)


@router.delete("/{job_id}", status_code=204, responses=problem_responses(JobNotFinal))
async def delete(job_id: str, identity: JobsWriteDep, clients: ClientsDep) -> None:
    """Erase a job that ended: its input, outputs and metadata. What it cost stays in the ledger."""
    await erase(clients, identity.user_id, validate_id(job_id, "job"))


async def _followed(
    job_id: str, identity: JobsReadDep, clients: ClientsDep
) -> AsyncIterator[FollowedJob]:
    """The job whose events are asked for, counted as a stream until the answer has ended.

    It is read before the stream begins, so that a 404 is one.
    """
    with clients.open_streams.admit(identity.user_id, identity.plan):
        yield await find_job(clients, identity.user_id, validate_id(job_id, "job"))


@router.get(
    "/{job_id}/events",
    response_class=Response,
    response_description="The events.",
    responses={200: EVENT_SOURCE, **problem_responses(TooManyStreams)},
)
@in_turn
async def events(
    job: Annotated[FollowedJob, Depends(_followed)],
    identity: JobsReadDep,
    clients: ClientsDep,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Go on behind this event.")
    ] = None,
) -> EventSource:
    """What happens to the job, as server-sent events: `status`, `progress {fraction, stage}`,
    `preview {url}`, and at the end `done {job}`."""
    may_read = partial(is_still_valid, clients, identity)
    return EventSource(encoded(JobEvents(clients, job, last_event_id, may_read).stream()))


@router.websocket("/{job_id}/ws")
async def events_by_websocket(websocket: WebSocket, job_id: str) -> None:
    """The same events over a WebSocket."""
    await follow_by_websocket(websocket, job_id)


@router.get("/{job_id}/metadata")
async def metadata(job_id: str, identity: JobsReadDep, clients: ClientsDep) -> MetadataView:
    """How the job is made: steps with timings, models, seed, and the last lines of its log.

    While it runs, what is known so far.
    """
    job = await get_job(clients, identity.user_id, validate_id(job_id, "job"))
    return await read_metadata(clients, job)
