"""Batches: create, list, read, results, cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import BackgroundTasks, Form, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from db.jobs import batches
from db.tables import Batch
from deployments.batch_representation import batch_representation
from serve_app.auth.identity import JobsReadDep, JobsWriteDep
from serve_app.batches.create import DISCOUNTED, BatchOptions, create_batch, push_all
from serve_app.batches.results import result_lines
from serve_app.batches.schemas import BatchView
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    FreshDep,
    IdempotencyKeyDep,
    LimitDep,
    validate_id,
)
from serve_app.http.errors import NotFound
from serve_app.http.pagination import Page, paginate
from serve_app.http.problems import CREATED_AT, problem_responses
from serve_app.http.request_context import request_context
from serve_app.jobs import result_cache
from serve_app.jobs.schemas import Priority
from serve_app.jobs.submit import SUBMISSION_REFUSALS
from serve_app.limits.waiting import WaitingReaderDep
from serve_app.resources import Clients
from serve_app.routing import body_kind, make_router, rate_class
from serve_app.webhooks.schemas import WebhookUrl

router = make_router("/v1/batches", tags=["batches"])

JSON_LINES = "application/jsonl"


@router.post(
    "",
    status_code=202,
    responses={202: {"headers": CREATED_AT}, **problem_responses(*SUBMISSION_REFUSALS)},
)
@body_kind("media")
@rate_class("submit")
async def create(
    file: UploadFile,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    response: Response,
    afterwards: BackgroundTasks,
    fresh: FreshDep,
    priority: Annotated[Priority, Form()] = DISCOUNTED,
    webhook_url: Annotated[WebhookUrl | None, Form()] = None,
    idempotency_key: IdempotencyKeyDep = None,
) -> BatchView:
    """Submit a file of jobs: JSON Lines, each line what `POST /v1/jobs` takes, less `priority`.

    All lines become jobs, or none: the errors name lines. At priority `low` they cost half.
    """
    options = BatchOptions(priority, webhook_url)
    created = await create_batch(
        clients,
        identity,
        await file.read(),
        options,
        idempotency_key,
        request_context(request).request_id,
        fresh=fresh,
    )
    if created.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    afterwards.add_task(push_all, clients, created.jobs)
    afterwards.add_task(result_cache.confirm, clients, created.copied)
    response.headers["Location"] = f"/v1/batches/{created.batch.id}"
    return _view(created.batch)


@router.get("")
async def index(
    identity: JobsReadDep, clients: ClientsDep, limit: LimitDep = 20, after: AfterDep = None
) -> Page[BatchView]:
    """Your batches, newest first."""
    async with clients.sessions() as session:
        rows = await batches.page(session, identity.user_id, after, limit + 1)
    page_rows, has_more, following = paginate(rows, limit)
    return Page(data=[_view(row) for row in page_rows], has_more=has_more, next=following)


@router.get("/{batch_id}")
async def get(batch_id: str, identity: JobsReadDep, clients: ClientsDep) -> BatchView:
    """A batch, and how many of its jobs have ended."""
    return _view(await _owned(clients, batch_id, identity.user_id))


@router.get(
    "/{batch_id}/results",
    response_class=StreamingResponse,
    responses={200: {"content": {JSON_LINES: {"schema": {"type": "string"}}}}},
)
async def results(
    batch_id: str,
    identity: WaitingReaderDep,
    clients: ClientsDep,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Go on behind this line.")] = 0,
) -> StreamingResponse:
    """The jobs that have ended, by line: `{"line": 1, "job": {...}}` on a line each.

    While the batch runs, lines may be missing whose jobs have not ended.
    """
    batch = await _owned(clients, batch_id, identity.user_id)
    lines = result_lines(clients, identity, batch.id, after)
    return StreamingResponse(lines, media_type=JSON_LINES)


@router.post("/{batch_id}/cancel")
async def cancel(batch_id: str, identity: JobsWriteDep, clients: ClientsDep) -> BatchView:
    """Cancel what has not ended: waiting jobs cost nothing, running ones are asked to stop.

    It takes a moment for many jobs; calling it again changes nothing.
    """
    batch = await _owned(clients, batch_id, identity.user_id)
    async with clients.sessions.begin() as session:
        await batches.request_cancel(session, batch.id)
    return _view(await _owned(clients, batch_id, identity.user_id))


async def _owned(clients: Clients, batch_id: str, user_id: str) -> Batch:
    async with clients.sessions() as session:
        batch = await batches.get_owned(session, validate_id(batch_id, "bat"), user_id)
    if batch is None:
        raise NotFound
    return batch


def _view(batch: Batch) -> BatchView:
    return BatchView.model_validate(batch_representation(batch))
