"""``/replicate/v1``: models and predictions for Replicate's clients (replicate-python 1.0.7).

Translation only: the same jobs, credits and limits as under ``/v1``, and the same errors, which
Replicate's clients read as they are. Replicate documents the calls; docs/api.md says what differs.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Header, Query, Request

from db.jobs.queries import JobFilter
from db.tables import Job
from deployments.contract import GeneratorSpec
from serve_app.auth.identity import Identity, JobsReadDep, JobsWriteDep
from serve_app.compat.inputs import translate_input
from serve_app.http.body import BoundedRequest
from serve_app.http.dependencies import ClientsDep, validate_id, wants_fresh
from serve_app.http.errors import BadInput, TooManyStreams, Unavailable
from serve_app.http.problems import STORE_FAILURES, validated
from serve_app.http.request_context import request_context
from serve_app.jobs.cancel import cancel
from serve_app.jobs.cancel_after import CancelAfterDep
from serve_app.jobs.metadata import read_log
from serve_app.jobs.read import MAX_WAIT_S, get_job, list_jobs, wait_for_job
from serve_app.jobs.schemas import SubmitBody
from serve_app.jobs.submit import submit
from serve_app.jobs.view import job_view, job_views
from serve_app.replicate.models import ModelView, VersionView, find_spec, model_view
from serve_app.replicate.predictions import (
    FIELDS,
    PredictionBody,
    PredictionView,
    prediction_view,
    refuse_webhooks,
)
from serve_app.resources import Clients
from serve_app.routing import body_kind, make_router, rate_class

router = make_router("/replicate/v1", tags=["replicate"], documented=False)

PAGE = 100
# Clients give up half a second after the time they asked for; so long the answer may take.
ANSWER_S = 1.0
WAIT = re.compile(r"wait(?:=(\d{1,3}))?")
PreferDep = Annotated[str | None, Header(alias="Prefer")]


@router.get("/models")
async def list_models(
    identity: JobsReadDep, clients: ClientsDep, request: Request
) -> dict[str, Any]:
    """Every generator."""
    specs = clients.catalog.values()
    results = [model_view(spec, str(request.base_url)) for spec in specs]
    return {"previous": None, "next": None, "results": results}


@router.get("/models/{owner}/{name}")
async def get_model(
    owner: str, name: str, identity: JobsReadDep, clients: ClientsDep, request: Request
) -> ModelView:
    """A generator, by its own name or another service's."""
    return model_view(find_spec(clients, f"{owner}/{name}"), str(request.base_url))


@router.get("/models/{owner}/{name}/versions/{version}")
async def get_version(
    owner: str,
    name: str,
    version: str,
    identity: JobsReadDep,
    clients: ClientsDep,
    request: Request,
) -> VersionView:
    """The version of a generator; there is one at a time."""
    spec = find_spec(clients, f"{owner}/{name}:{version}")
    return model_view(spec, str(request.base_url)).latest_version


@router.post("/predictions", status_code=201)
@body_kind("media")
@rate_class("submit")
async def create(
    body: PredictionBody,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    cancel_after: CancelAfterDep,
    prefer: PreferDep = None,
) -> PredictionView:
    """Run the model that ``version`` names."""
    name = body.version or body.model
    if name is None:
        words = "say which model to run"
        raise BadInput(
            words, errors=[{"loc": ["version"], "msg": words, "code": "conflicting_fields"}]
        )
    spec = find_spec(clients, name)
    return await _create(clients, identity, request, spec, body, prefer, cancel_after)


@router.post("/models/{owner}/{name}/predictions", status_code=201)
@body_kind("media")
@rate_class("submit")
async def create_of_model(
    owner: str,
    name: str,
    body: PredictionBody,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    cancel_after: CancelAfterDep,
    prefer: PreferDep = None,
) -> PredictionView:
    """Run a model."""
    spec = find_spec(clients, f"{owner}/{name}")
    return await _create(clients, identity, request, spec, body, prefer, cancel_after)


async def _create(
    clients: Clients,
    identity: Identity,
    request: Request,
    spec: GeneratorSpec[Any],
    body: PredictionBody,
    prefer: str | None,
    cancel_after: timedelta | None,
) -> PredictionView:
    until = time.monotonic() + _seconds(prefer) - ANSWER_S
    refuse_webhooks(body)
    files_url = f"{request.base_url}replicate/v1/files/"
    given = translate_input(spec, body.input, FIELDS, files_url)
    order = validated(SubmitBody, {"generator": spec.name, "input": given})
    request_id = request_context(request).request_id
    fresh = wants_fresh(request.headers.get("cache-control"))
    done = await submit(clients, identity, order, None, request_id, cancel_after, fresh=fresh)
    job = done.job
    if isinstance(request, BoundedRequest):
        await request.aclose()  # who waits holds no place of large bodies
    if (remaining_s := until - time.monotonic()) > 0:
        # The job is accepted: whatever happens now, the client hears of it.
        with suppress(TooManyStreams, Unavailable, *STORE_FAILURES):
            job = await wait_for_job(clients, identity, job.id, remaining_s, request.receive)
    return await _view(clients, job, request, waited=bool(_seconds(prefer)))


async def _view(
    clients: Clients, job: Job, request: Request, *, waited: bool = False
) -> PredictionView:
    lines = await read_log(clients, job)
    view = await job_view(clients, job)
    return prediction_view(job, view, str(request.base_url), lines, waited=waited)


def _seconds(prefer: str | None) -> float:
    found = WAIT.search(prefer or "")
    return min(float(found[1] or MAX_WAIT_S), MAX_WAIT_S) if found else 0.0


@router.get("/predictions")
async def index(
    identity: JobsReadDep,
    clients: ClientsDep,
    request: Request,
    cursor: Annotated[str | None, Query(pattern=r"^job_[0-9A-Z]{26}$")] = None,
) -> dict[str, Any]:
    """Your jobs, newest first."""
    rows = await list_jobs(clients, identity.user_id, JobFilter(), cursor, PAGE + 1)
    base, page = str(request.base_url), rows[:PAGE]
    views = await job_views(clients, page)
    has_more = len(rows) > PAGE
    return {
        "previous": None,
        "next": f"{base}replicate/v1/predictions?cursor={page[-1].id}" if has_more else None,
        "results": [
            prediction_view(job, view, base) for job, view in zip(page, views, strict=True)
        ],
    }


@router.get("/predictions/{prediction_id}")
async def get(
    prediction_id: str, identity: JobsReadDep, clients: ClientsDep, request: Request
) -> PredictionView:
    """A job."""
    job = await get_job(clients, identity.user_id, validate_id(prediction_id, "job"))
    return await _view(clients, job, request)


@router.post("/predictions/{prediction_id}/cancel")
async def cancel_prediction(
    prediction_id: str, identity: JobsWriteDep, clients: ClientsDep, request: Request
) -> PredictionView:
    """Cancel a job."""
    job = await cancel(clients, identity.user_id, validate_id(prediction_id, "job"))
    return await _view(clients, job, request)
