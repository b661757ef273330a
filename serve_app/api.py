"""``create_api()``: the HTTP API as a plain FastAPI application, whatever server runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from db.errors import StoreUnavailable
from deployments.catalog import load_catalog
from deployments.logs import configure_logging
from serve_app.clients import Clients, ReplicaCounts, close_clients, open_clients
from serve_app.metrics import Metrics
from serve_app.middleware import BodySizeLimitMiddleware, ObservabilityMiddleware
from serve_app.problems import add_problem_handlers
from serve_app.routes import (
    admin,
    admin_users,
    api_keys,
    auth,
    billing,
    credits,
    files,
    generators,
    health,
    jobs,
    limits,
    personas,
    usage,
    webhooks,
)
from serve_app.settings import Settings

log = structlog.get_logger()

BUCKET_RETRY_S = 2.0

DESCRIPTION = """
Pictures and films from prompts, photos and texts, billed in credits.

**Start**: `POST /v1/auth/register`, `POST /v1/auth/token`, `POST /v1/api-keys`; then
`POST /v1/jobs` and follow `GET /v1/jobs/{id}/events`, or wait with `GET /v1/jobs/{id}?wait=30`.

**Errors** are RFC 9457 problem documents (`application/problem+json`) with a stable `code`.
**Retries** are safe with an `Idempotency-Key` header on every POST that creates.
"""


async def _prepare_bucket(clients: Clients) -> None:
    """Beside the start, not before it: the API answers what it can while the store is down."""
    while True:
        try:
            return await clients.objects.prepare()
        except StoreUnavailable as error:
            log.warning("bucket_not_prepared", reason=str(error))
            await asyncio.sleep(BUCKET_RETRY_S)


async def _replicas_unknown() -> Mapping[str, int] | None:
    return None


def create_api(
    generators_served: Sequence[str],
    settings: Settings | None = None,
    replicas: ReplicaCounts = _replicas_unknown,
    release: str = "",
) -> FastAPI:
    """The application. Its lifespan opens and closes the clients; nothing is opened before.

    ``settings`` are read from the environment if not given; ``generators_served`` are module
    paths for ``deployments.catalog``; ``replicas`` tells how many replicas run, by generator;
    ``release`` is what operators call the code that runs.

    Raises:
        pydantic.ValidationError: the environment lacks a setting.
        deployments.catalog.CatalogError: the list of generators is wrong.
    """
    configure_logging()
    settings = settings or Settings()
    catalog = load_catalog(generators_served)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        clients = open_clients(settings, catalog, metrics, replicas)
        api.state.clients = clients
        beside = [
            asyncio.create_task(_prepare_bucket(clients)),
            asyncio.create_task(clients.read_sessions.watch()),
        ]
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await close_clients(clients)

    api = FastAPI(title="Atelier", version="0.1.0", description=DESCRIPTION, lifespan=lifespan)
    api.state.release = release
    # The last one added is the outermost.
    api.add_middleware(
        BodySizeLimitMiddleware,
        max_bytes=settings.limits.max_body_bytes,
        max_media_bytes=settings.limits.max_upload_bytes,
    )
    api.add_middleware(ObservabilityMiddleware, metrics=metrics)
    add_problem_handlers(api)
    people = (auth, api_keys, limits, credits, usage, billing)
    work = (generators, jobs, files, personas, webhooks)
    for part in (*people, *work, admin, admin_users, health):
        api.include_router(part.router)
    return api
