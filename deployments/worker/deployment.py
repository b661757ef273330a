"""The Ray Serve deployment in which every generator runs.

A replica takes its jobs from the queue (``deployments.worker.host``); nobody calls it over Serve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from billing import credit_counts, job_counts
from db.settings import StoreSettings
from deployments.catalog import load_spec
from deployments.contract import GeneratorSpec
from deployments.gpu_manager.client import Connection, ManagedInference
from deployments.log_config import configure_logging
from deployments.malloc import limit_arenas
from deployments.ray_replica import current_replica, shutdown_grace_s, watch_node_drain
from deployments.settings import SharedSettings
from deployments.tracing import configure_tracing
from deployments.worker.host import GeneratorHost

# A job may take longer than its generator: it waits for stores at the upload and at the settlement.
SHUTDOWN_MARGIN_S = 150.0
HEALTH_CHECK_INTERVAL_S = 1.0  # short, so that a killed replica is replaced soon


class GeneratorWorker:
    """``GeneratorHost`` as a Ray Serve replica."""

    async def __init__(self, module: str, manager: DeploymentHandle[Any]) -> None:  # type: ignore[misc]
        """Load the generator of ``module``, whose models are those of the GPU ``manager``."""
        configure_logging()
        limit_arenas()
        spec = load_spec(module)
        configure_tracing(spec.name)
        job_counts.start_counts([spec.name])
        credit_counts.start_counts()
        structlog.contextvars.bind_contextvars(generator=spec.name)
        self._host = GeneratorHost(spec, StoreSettings())
        inference = ManagedInference(Connection(manager, asyncio.get_running_loop()))
        await self._host.start(SharedSettings(), current_replica(), inference)
        self._watch = asyncio.create_task(watch_node_drain(self._host.start_drain))

    async def __call__(self) -> Mapping[str, str]:
        """Return the generator's name; jobs come through the queue."""
        return {"generator": self._host.spec.name}

    async def check_health(self) -> None:
        """Ray Serve replaces the replica when this raises."""
        self._host.check()

    async def __del__(self) -> None:
        # Ray Serve awaits this within graceful_shutdown_timeout_s. Its constructor may have failed.
        host = getattr(self, "_host", None)
        if host is not None:
            await host.drain(shutdown_grace_s())
        watch = getattr(self, "_watch", None)
        if watch is not None:
            watch.cancel()


@dataclass(frozen=True)
class Scale:
    """The bounds within which the autoscaling policy chooses a generator's number of replicas."""

    min_replicas: int = 0
    max_replicas: int = 1


def generator_deployment(
    module: str,
    spec: GeneratorSpec[Any],
    scale: Scale,
    manager: serve.Application,
    *,
    num_gpus: float = 0.0,
    num_cpus: float = 0.5,
) -> serve.Application:
    """Build the deployment of one generator, under the generator's name.

    ``module`` is its package, such as ``deployments.generators.image``. ``manager`` is the GPU
    manager's deployment, and ``num_gpus`` the claim of a place beside one; 0 declares none.
    ``num_cpus`` is the number of cores that Ray reserves for a replica.
    """
    actor: dict[str, Any] = {"num_cpus": num_cpus}
    if num_gpus:
        actor["num_gpus"] = num_gpus
    deploy = serve.deployment(
        name=spec.name,
        # The autoscaling policy has delays of its own, so Serve's are switched off.
        autoscaling_config=AutoscalingConfig(
            min_replicas=scale.min_replicas,
            max_replicas=scale.max_replicas,
            upscale_delay_s=0.0,
            downscale_delay_s=0.0,
        ),
        ray_actor_options=actor,
        max_ongoing_requests=8,
        graceful_shutdown_timeout_s=spec.max_seconds + SHUTDOWN_MARGIN_S,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=HEALTH_CHECK_INTERVAL_S,
        health_check_timeout_s=30.0,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deploy(GeneratorWorker).bind(module, manager)
