"""The catalogue of generators: input schema, price, length of the queue."""

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import Depends
from pydantic import Field

from db.errors import StoreUnavailable
from db.redis.queue import JobQueue, QueueCounts
from deployments.catalog import example_input
from deployments.contract import GeneratorSpec
from serve_app.auth.identity import IdentityDep
from serve_app.http.conditional import (
    CONDITIONAL_REQUEST,
    CONDITIONAL_RESPONSES,
    conditional,
)
from serve_app.http.dependencies import ClientsDep, require_json
from serve_app.http.errors import NotFound
from serve_app.http.schemas import Body, View
from serve_app.jobs.inputs import check_references
from serve_app.jobs.schemas import PriceLineView
from serve_app.jobs.submit import check_input
from serve_app.resources import Clients
from serve_app.routing import body_kind, make_router

router = make_router("/v1/generators", tags=["generators"])

TIMEOUT_S = 1.0


class PricingView(View):
    """Prices are in credits; a quote says what one request costs. ``version`` is kept on jobs."""

    unit: str = "credit"
    version: str


class QueueView(View):
    """Jobs waiting, and jobs being made."""

    waiting: int
    active: int


class GeneratorView(View):
    """A generator. ``queue``, ``replicas`` and ``eta_s`` are null when they cannot be read now."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any] = Field(
        description="JSON Schema of a job's `input`; `examples` has a valid one."
    )
    pricing: PricingView
    queue: QueueView | None
    replicas: int | None
    eta_s: float | None = Field(description="About when a job submitted now would be done.")


class QuoteBody(Body):
    """An input as a job would have it."""

    input: dict[str, Any]


class QuoteView(View):
    """What a job with this input would hold, and at most cost."""

    credits: int
    breakdown: list[PriceLineView]


@router.get("", responses=CONDITIONAL_RESPONSES, openapi_extra=CONDITIONAL_REQUEST)
@conditional
async def index(clients: ClientsDep) -> dict[str, list[GeneratorView]]:
    """Every generator of this installation. Needs no token."""
    replicas = await clients.replicas()
    views = [_view(clients, spec, replicas) for spec in clients.catalog.values()]
    return {"data": list(await asyncio.gather(*views))}


@router.get("/{name}")
async def get(name: str, clients: ClientsDep) -> GeneratorView:
    """One generator. Needs no token."""
    return await _view(clients, _spec(clients, name), await clients.replicas())


@router.post("/{name}/quote", dependencies=[Depends(require_json)])
@body_kind("media")
async def quote(
    name: str, body: QuoteBody, identity: IdentityDep, clients: ClientsDep
) -> QuoteView:
    """What a job would cost. Checks the input just as submitting does; holds nothing."""
    checked = check_input(_spec(clients, name), body.input, identity.plan, clients.profile)
    await check_references(clients, identity.user_id, checked.request)
    lines = [PriceLineView.model_validate(line, from_attributes=True) for line in checked.lines]
    return QuoteView(credits=checked.credits, breakdown=lines)


def _spec(clients: Clients, name: str) -> GeneratorSpec[Any]:
    spec = clients.catalog.get(name)
    if spec is None:
        raise NotFound
    return spec


async def _view(
    clients: Clients, spec: GeneratorSpec[Any], replicas: Mapping[str, int] | None
) -> GeneratorView:
    counts = await queue_counts(clients.queues[spec.name])
    running = None if replicas is None else replicas.get(spec.name, 0)
    return GeneratorView(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        input_schema=_input_schema(spec),
        pricing=PricingView(version=spec.price_version),
        queue=None if counts is None else QueueView(waiting=counts.waiting, active=counts.active),
        replicas=running,
        eta_s=None if counts is None else estimate_seconds(spec, counts, running or 1),
    )


@cache
def _input_schema(spec: GeneratorSpec[Any]) -> dict[str, Any]:
    example = example_input(spec)
    schema = spec.request.model_json_schema()
    return schema if example is None else {**schema, "examples": [example]}


def estimate_seconds(spec: GeneratorSpec[Any], counts: QueueCounts, replicas: int) -> float:
    """Estimate the seconds until one more job is done, with ``replicas`` running."""
    ahead = (counts.waiting + counts.active) / (replicas * spec.concurrency)
    return round((ahead + 1) * spec.expected_seconds, 1)


async def queue_counts(queue: JobQueue) -> QueueCounts | None:
    """Return the depth of the queue, or None if Redis does not answer in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await queue.counts()
    except (StoreUnavailable, TimeoutError):
        return None
