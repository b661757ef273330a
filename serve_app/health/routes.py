"""Health checks for load balancers, metrics for Prometheus."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog
from fastapi import Request, Response
from sqlalchemy import text

from db.redis.client import ping
from serve_app.generators.routes import queue_counts
from serve_app.http.dependencies import ClientsDep
from serve_app.http.schemas import View
from serve_app.resources import Clients
from serve_app.routing import make_router, rate_class

router = make_router(tags=["health"])
log = structlog.get_logger()

TIMEOUT_S = 2.0


class AliveView(View):
    """The process answers; ``release`` is the application's argument of that name."""

    status: Literal["ok"] = "ok"
    release: str


class ReadyView(View):
    """Each dependency by name: whether it answers."""

    ready: bool
    checks: dict[str, bool]


@router.get("/healthz")
@rate_class(None)
async def alive(request: Request) -> AliveView:
    """Whether this process answers, whatever the stores do."""
    return AliveView(release=request.app.state.release)


@router.get("/readyz", responses={503: {"model": ReadyView}})
@rate_class(None)
async def ready(clients: ClientsDep, response: Response) -> ReadyView:
    """Whether everything a job needs answers; 503 if something does not."""
    checks = {
        "postgres": lambda: _ping_postgres(clients),
        "redis": lambda: ping(clients.redis),
        "objects": clients.objects.ping,
        "documents": lambda: clients.documents.get("readyz"),
    }
    answers = await asyncio.gather(*(_is_reachable(name, check) for name, check in checks.items()))
    ready_by_name = dict(zip(checks, answers, strict=True))
    if not all(answers):
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return ReadyView(ready=all(answers), checks=ready_by_name)


@router.get("/metrics", response_class=Response, include_in_schema=False)
@rate_class(None)
async def metrics(clients: ClientsDep) -> Response:
    """Prometheus text."""
    names = list(clients.queues)
    counted = await asyncio.gather(*(queue_counts(clients.queues[name]) for name in names))
    for name, counts in zip(names, counted, strict=True):
        if counts is not None:
            clients.metrics.queue.set(counts.waiting, generator=name, state="waiting")
            clients.metrics.queue.set(counts.active, generator=name, state="active")
    return Response(clients.metrics.render(), media_type="text/plain; version=0.0.4")


async def _ping_postgres(clients: Clients) -> None:
    async with clients.sessions() as session:
        await session.execute(text("SELECT 1"))


async def _is_reachable(name: str, check: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await check()
    except Exception as error:
        log.warning("dependency_not_ready", dependency=name, error=type(error).__name__)
        return False
    return True
