"""``/fal``: the queue, direct runs and streams for fal's clients (fal-client 1.0.3).

Translation only: the same jobs, credits and limits as under ``/v1``. fal documents the calls;
docs/api.md says what differs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Body, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from db.tables import FINAL_STATUSES, Job
from serve_app.auth.identity import Identity, JobsReadDep, JobsWriteDep, is_still_valid
from serve_app.compat.errors import UNAVAILABLE, unavailable
from serve_app.fal.errors import FalRoute, NotReady, StillRunning, error_type
from serve_app.fal.models import find_generator, generator_input
from serve_app.fal.results import request_state, request_urls, result
from serve_app.fal.uploads import files_url
from serve_app.http.body import BoundedRequest
from serve_app.http.dependencies import ClientsDep, IdempotencyKeyDep, validate_id, wants_fresh
from serve_app.http.errors import BadInput, NotFound, Problem, TooManyStreams, Unavailable
from serve_app.http.event_source import KEEP_ALIVE, EventSource, encode_event
from serve_app.http.problems import STORE_FAILURES, validated
from serve_app.http.request_context import request_context
from serve_app.jobs.cancel import cancel
from serve_app.jobs.event_stream import JobEvent, JobEvents, find_job
from serve_app.jobs.metadata import read_log
from serve_app.jobs.read import get_job, wait_for_job
from serve_app.jobs.repeated import submit_or_take_over, wait_for_answer
from serve_app.jobs.schemas import SubmitBody
from serve_app.jobs.view import job_view
from serve_app.limits.waiting import WaitingDep, WaitingReaderDep
from serve_app.resources import Clients
from serve_app.routing import body_kind, make_router, rate_class

router = make_router("/fal", tags=["fal"], route_class=FalRoute, documented=False)

# Clients ask for the state ten times a second. The answer comes when the job has ended, or now.
STATE_WAIT_S = 1.0
PATIENCE_S = 590.0
REQUEST = "/queue/{owner}/{app}/requests/{request_id}"
ArgumentsDep = Annotated[dict[str, Any], Body()]
PriorityDep = Annotated[Literal["normal", "low"], Header(alias="X-Fal-Queue-Priority")]


@router.get(f"{REQUEST}/status")
async def status(
    owner: str,
    app: str,
    request_id: str,
    identity: JobsReadDep,
    clients: ClientsDep,
    request: Request,
    logs: bool = False,
) -> dict[str, Any]:
    """How far a job is."""
    job = await get_job(clients, identity.user_id, validate_id(request_id, "job"))
    if job.status not in FINAL_STATUSES:
        with suppress(TooManyStreams, Unavailable, *STORE_FAILURES):
            job = await wait_for_job(clients, identity, job.id, STATE_WAIT_S, request.receive)
    urls = request_urls(str(request.base_url), f"{owner}/{app}", job.id)
    return {**await _state(clients, job, logs), **urls}


@router.get(f"{REQUEST}/status/stream", response_model=None)
async def stream_status(
    owner: str,
    app: str,
    request_id: str,
    identity: WaitingReaderDep,
    clients: ClientsDep,
    request: Request,
    logs: bool = False,
) -> EventSource:
    """How far a job is, until it has ended."""
    job = await get_job(clients, identity.user_id, validate_id(request_id, "job"))
    urls = request_urls(str(request.base_url), f"{owner}/{app}", job.id)

    async def states() -> AsyncGenerator[bytes, None]:
        # A job that is erased meanwhile has no state: the stream ends.
        with suppress(NotFound):
            async with aclosing(await _events(clients, identity, job.id)) as events:
                async for event in events:
                    if event is None:
                        yield KEEP_ALIVE
                    elif event.name != "preview":
                        now = await get_job(clients, identity.user_id, job.id)
                        state = await _state(clients, now, logs)
                        yield encode_event("message", {**state, **urls})

    return EventSource(states())


@router.get(REQUEST)
async def get(
    owner: str, app: str, request_id: str, identity: JobsReadDep, clients: ClientsDep
) -> dict[str, Any]:
    """The result of a job."""
    job = await get_job(clients, identity.user_id, validate_id(request_id, "job"))
    if job.status not in FINAL_STATUSES:
        raise NotReady
    return result(job, await job_view(clients, job))


@router.put(f"{REQUEST}/cancel", response_model=None)
async def cancel_request(
    owner: str, app: str, request_id: str, identity: JobsWriteDep, clients: ClientsDep
) -> Response:
    """Cancel a job."""
    before = await get_job(clients, identity.user_id, validate_id(request_id, "job"))
    if before.status in FINAL_STATUSES:
        return JSONResponse({"status": "ALREADY_COMPLETED"}, status_code=400)
    await cancel(clients, identity.user_id, before.id)
    return JSONResponse({"status": "CANCELLATION_REQUESTED"}, status_code=202)


@router.post("/queue/{endpoint:path}")
@body_kind("media")
@rate_class("submit")
async def submit_to_queue(
    endpoint: str,
    arguments: ArgumentsDep,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    priority: PriorityDep = "normal",
    fal_webhook: Annotated[str | None, Query()] = None,
    idempotency_key: IdempotencyKeyDep = None,
) -> dict[str, Any]:
    """Submit a job."""
    if fal_webhook is not None:
        words = "webhooks are sent for jobs of /v1 only"
        raise BadInput(
            words, errors=[{"loc": ["fal_webhook"], "msg": words, "code": "not_supported"}]
        )
    job = await _submit(clients, identity, request, endpoint, arguments, priority, idempotency_key)
    state = request_state(job, await job_view(clients, job))
    return {**state, **request_urls(str(request.base_url), endpoint, job.id)}


@router.post("/{endpoint:path}/stream", response_model=None)
@body_kind("media")
@rate_class("submit")
async def stream(
    endpoint: str,
    arguments: ArgumentsDep,
    identity: WaitingDep,
    clients: ClientsDep,
    request: Request,
    idempotency_key: IdempotencyKeyDep = None,
) -> EventSource:
    """Submit a job and follow it: how far it is, unfinished pictures, and the result."""
    job = await _submit(clients, identity, request, endpoint, arguments, "normal", idempotency_key)
    return EventSource(_told(clients, identity, job.id))


@router.post("/{endpoint:path}")
@body_kind("media")
@rate_class("submit")
async def run(
    endpoint: str,
    arguments: ArgumentsDep,
    identity: WaitingDep,
    clients: ClientsDep,
    request: Request,
    idempotency_key: IdempotencyKeyDep = None,
) -> dict[str, Any]:
    """Submit a job and wait for its result."""
    job = await _submit(clients, identity, request, endpoint, arguments, "normal", idempotency_key)
    job = await wait_for_answer(clients, identity.user_id, job.id, PATIENCE_S, request.receive)
    if job.status not in FINAL_STATUSES:
        raise StillRunning
    return result(job, await job_view(clients, job))


async def _submit(
    clients: Clients,
    identity: Identity,
    request: Request,
    endpoint: str,
    arguments: dict[str, Any],
    priority: str,
    idempotency_key: str | None,
) -> Job:
    spec = find_generator(clients, endpoint)
    given = generator_input(spec, endpoint, arguments, files_url(request))
    order = validated(SubmitBody, {"generator": spec.name, "input": given, "priority": priority})
    if isinstance(request, BoundedRequest):
        await request.aclose()  # it was read, and whoever waits holds no place of large bodies
    return await submit_or_take_over(
        clients,
        identity,
        order,
        has_left=request.is_disconnected,
        idempotency_key=idempotency_key,
        request_id=request_context(request).request_id,
        fresh=wants_fresh(request.headers.get("cache-control")),
    )


async def _state(clients: Clients, job: Job, with_logs: bool) -> dict[str, Any]:
    lines = await read_log(clients, job) if with_logs else ()
    return request_state(job, await job_view(clients, job), lines)


async def _events(
    clients: Clients, identity: Identity, job_id: str
) -> AsyncGenerator[JobEvent | None, None]:
    job = await find_job(clients, identity.user_id, job_id)
    may_read = partial(is_still_valid, clients, identity)
    return JobEvents(clients, job, None, may_read).stream()


async def _told(clients: Clients, identity: Identity, job_id: str) -> AsyncGenerator[bytes, None]:
    """Yield what a stream says of a job; an error is its last event."""
    try:
        async with aclosing(await _events(clients, identity, job_id)) as events:
            async for event in events:
                if event is None:
                    yield KEEP_ALIVE
                elif event.name == "preview":
                    yield encode_event("message", {"partial": True, "images": [event.data]})
                elif event.name == "progress":
                    yield encode_event("message", {"status": "IN_PROGRESS", **event.data})
        job = await get_job(clients, identity.user_id, job_id)
        yield encode_event("message", result(job, await job_view(clients, job)))
    except Problem as problem:
        error = {"error": problem.detail, "error_type": error_type(problem)}
        yield encode_event("message", error)
    except UNAVAILABLE as error:
        yield encode_event("message", {"error": unavailable(error).detail})
