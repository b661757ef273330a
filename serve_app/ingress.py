"""The HTTP API as a Ray Serve deployment.

In the fast mode that the deployment notes ask for (HAProxy, throughput optimized) these routes
share the event loop with Serve itself: nothing here may block it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI
from ray import serve

from deployments.serve_details import RUNNING, application_details
from deployments.tracing import configure_tracing
from serve_app.api import create_api

log = structlog.get_logger()

REPLICAS_CACHE_S = 5.0
TIMEOUT_S = 2.0


class ReplicaCounter:
    """Counts running replicas by deployment; asks Serve's controller every few seconds at most."""

    def __init__(self) -> None:
        self._known: Mapping[str, int] | None = None
        self._asked_at = float("-inf")

    async def __call__(self) -> Mapping[str, int] | None:
        if time.monotonic() - self._asked_at < REPLICAS_CACHE_S:
            return self._known
        self._asked_at = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._known = await asyncio.to_thread(_running_replicas)
        except Exception as error:
            log.warning("replicas_unknown", error=type(error).__name__)
            self._known = None
        return self._known


def _running_replicas() -> dict[str, int]:
    name = serve.get_replica_context().app_name
    application = application_details(name)
    assert application is not None, "this replica is one of it"
    return {
        deployment: details.replicas.get(RUNNING, 0)
        for deployment, details in application.deployments.items()
    }


@serve.ingress()
class Ingress:
    """Serves the API of the listed generators.

    ``bound`` are the applications of the generators and of maintenance, so that Serve deploys them
    with this one. The ingress never calls them: jobs reach them through the queue.
    """

    def __init__(
        self,
        generators: Sequence[str],
        bound: Sequence[Any],
        release: str,
        profile: str | None = None,
    ) -> None:
        self._generators = list(generators)
        self._bound = list(bound)
        self._release = release
        self._profile = profile

    def __serve_build_asgi_app__(self) -> FastAPI:
        configure_tracing("ingress")
        return create_api(
            self._generators,
            replicas=ReplicaCounter(),
            release=self._release,
            profile=self._profile,
        )

    def check_health(self) -> None:
        """Healthy while the process answers: a restart would not bring a store back."""
