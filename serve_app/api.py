"""``create_api()``: the HTTP API as a plain FastAPI application, whatever server runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from db.errors import StoreUnavailable
from deployments.catalog import load_catalog
from deployments.log_config import configure_logging
from models.scratch import use_work_dir
from serve_app.account import routes as account_routes
from serve_app.admin import audit_log_routes, gpu_stat_routes, incident_routes, user_routes
from serve_app.admin import job_routes as admin_job_routes
from serve_app.admin import routes as admin_routes
from serve_app.auth import api_key_routes, passkey_routes, totp_routes
from serve_app.auth import routes as auth_routes
from serve_app.batches import routes as batch_routes
from serve_app.billing import routes as billing_routes
from serve_app.credits import routes as credits_routes
from serve_app.credits import usage_routes
from serve_app.fal import routes as fal_routes
from serve_app.fal import uploads as fal_uploads
from serve_app.files import routes as files_routes
from serve_app.files import upload_routes
from serve_app.generators import llms_txt, start_page
from serve_app.generators import routes as generators_routes
from serve_app.health import routes as health_routes
from serve_app.health import status_page
from serve_app.http import docs
from serve_app.http.client_address import trusted_hosts
from serve_app.http.compression import CompressionMiddleware
from serve_app.http.equivalents import EquivalentsMiddleware
from serve_app.http.metrics import Metrics, repeat_gauges
from serve_app.http.middleware import (
    UNLOGGED_PATHS,
    ObservabilityMiddleware,
    UnreadBodyMiddleware,
)
from serve_app.http.openapi import DocumentedAPI
from serve_app.http.problems import add_problem_handlers
from serve_app.jobs import routes as jobs_routes
from serve_app.limits import routes as limits_routes
from serve_app.mcp import routes as mcp_routes
from serve_app.openai import routes as openai_routes
from serve_app.openai import video_routes as openai_video_routes
from serve_app.personas import routes as personas_routes
from serve_app.replicate import file_routes as replicate_file_routes
from serve_app.replicate import routes as replicate_routes
from serve_app.resources import (
    Clients,
    ReplicaCounts,
    close_clients,
    known_profile,
    open_clients,
)
from serve_app.settings import Settings
from serve_app.webhooks import routes as webhooks_routes

log = structlog.get_logger()

BUCKET_RETRY_S = 2.0
# What pages of other origins may send, and see, beside what every page may.
CORS_REQUEST_HEADERS = [
    "Authorization", "Cache-Control", "Cancel-After", "Content-Type", "Idempotency-Key",
    "If-None-Match", "Last-Event-ID", "Mcp-Method", "Mcp-Name", "MCP-Protocol-Version", "Prefer",
    "X-API-Key", "X-Fal-Queue-Priority", "X-Request-ID",
]  # fmt: skip
CORS_ANSWER_HEADERS = [
    "ETag", "Idempotent-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After",
    "X-Request-ID",
]  # fmt: skip

DESCRIPTION = """
Pictures and films from prompts, photos and texts, billed in credits.

**Start**: `POST /v1/auth/register`, `POST /v1/auth/token`, `POST /v1/api-keys`; then
`POST /v1/jobs` and follow `GET /v1/jobs/{id}/events`, or wait with `GET /v1/jobs/{id}?wait=30`.

**Errors** are RFC 9457 problem documents (`application/problem+json`) with a stable `code`.
**Retries** are safe with an `Idempotency-Key` header on every POST that creates.
"""


async def _prepare_bucket(clients: Clients) -> None:
    """Prepare the bucket in the background: the API starts while the object store is down."""
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
    profile: str | None = None,
) -> FastAPI:
    """Create the application. Its lifespan opens and closes the clients; nothing is opened before.

    ``settings`` are read from the environment if not given; ``generators_served`` are module
    paths for ``deployments.catalog``; ``replicas`` returns how many replicas run, by generator;
    ``release`` names the version of the code that runs, and ``profile`` the models of the replicas
    (``ATELIER_PROFILE`` if it is not given).

    Raises:
        pydantic.ValidationError: the environment lacks a setting.
        deployments.catalog.CatalogError: the list of generators is wrong.
    """
    configure_logging()
    settings = settings or Settings()
    catalog = load_catalog(generators_served)
    metrics = Metrics(catalog)
    models = known_profile(profile or settings.limits.profile)

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(use_work_dir, settings.limits.work_dir)
        clients = open_clients(settings, catalog, metrics, replicas, models)
        api.state.clients = clients
        beside = [
            asyncio.create_task(_prepare_bucket(clients)),
            asyncio.create_task(clients.read_sessions.watch()),
            asyncio.create_task(clients.identity_changes.run()),
            asyncio.create_task(clients.job_watch.run()),
            asyncio.create_task(clients.push_confirmations.run()),
            asyncio.create_task(repeat_gauges()),
        ]
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await close_clients(clients)

    api = DocumentedAPI(
        title="Atelier",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # serve_app.http.docs has it with an ETag, and a page without a CDN
        docs_url=None,
        redoc_url=None,
        telemetry={
            "operation_spans": False,
            "metrics": False,
            "logs": False,
            "exclude": lambda scope: scope.get("path") in UNLOGGED_PATHS,
        },
    )
    api.state.release = release
    api.state.mcp = mcp_routes.MCPService(api)
    # The last one added is the outermost.
    api.add_middleware(CompressionMiddleware)
    api.add_middleware(EquivalentsMiddleware)
    api.add_middleware(UnreadBodyMiddleware)
    api.add_middleware(
        ObservabilityMiddleware, metrics=metrics, https_only=settings.limits.https_only
    )
    api.add_middleware(
        ProxyHeadersMiddleware, trusted_hosts=trusted_hosts(settings.limits.trusted_proxies)
    )
    if settings.limits.cors_origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=settings.limits.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=CORS_REQUEST_HEADERS,
            expose_headers=CORS_ANSWER_HEADERS,
        )
    add_problem_handlers(api)
    people = (
        auth_routes,
        account_routes,
        totp_routes,
        passkey_routes,
        api_key_routes,
        limits_routes,
        credits_routes,
        usage_routes,
        billing_routes,
    )
    work = (
        generators_routes,
        jobs_routes,
        batch_routes,
        upload_routes,
        files_routes,
        personas_routes,
        webhooks_routes,
    )
    compatible = (
        fal_uploads,
        fal_routes,
        openai_routes,
        openai_video_routes,
        replicate_routes,
        replicate_file_routes,
        mcp_routes,
    )
    for part in (
        *people,
        *work,
        *compatible,
        admin_routes,
        user_routes,
        audit_log_routes,
        admin_job_routes,
        gpu_stat_routes,
        incident_routes,
        health_routes,
        start_page,
        status_page,
        llms_txt,
        docs,
    ):
        api.include_router(part.router)
    return api
