"""The Ray Serve deployment in which every generator runs.

A replica takes its jobs from the queue (``deployments.worker.host``); nobody calls it over Serve.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from db.settings import StoreSettings
from deployments.catalog import load_spec
from deployments.contract import GeneratorSpec, Runtime
from deployments.log_config import configure_logging
from deployments.settings import ReplicaSettings
from deployments.worker.host import GeneratorHost
from deployments.worker.malloc import expand_cuda_segments, limit_arenas
from deployments.worker.ray_replica import current_replica, shutdown_grace_s, watch_node_drain
from models.profiles.select import gpu_memory_gb, select_profile

# A job may take longer than its generator: it waits for stores at the upload and at the settlement.
SHUTDOWN_MARGIN_S = 150.0
HEALTH_CHECK_INTERVAL_S = 1.0  # short, so that a killed replica is replaced soon


class GeneratorWorker:
    """``GeneratorHost`` as a Ray Serve replica."""

    async def __init__(  # type: ignore[misc]
        self, module: str, profile: str | None = None, num_gpus: float = 0.0
    ) -> None:
        """Load the generator of ``module``.

        Without a ``profile``, ``ATELIER_PROFILE`` names it, or the GPU's memory selects it.
        """
        configure_logging()
        limit_arenas()
        expand_cuda_segments()
        replica = ReplicaSettings()
        spec = load_spec(module)
        structlog.contextvars.bind_contextvars(generator=spec.name)
        self._host = GeneratorHost(spec, StoreSettings())
        profile = profile or replica.profile
        if profile is None:
            # Reading the GPU's memory imports torch, which a replica without a GPU can save.
            profile = select_profile(os.environ, gpu_memory_gb() if num_gpus else None)
        await self._host.start(Runtime(profile, num_gpus), replica, current_replica())
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
    *,
    profile: str | None = None,
    num_gpus: float = 0.0,
    num_cpus: float = 0.5,
) -> serve.Application:
    """Build the deployment of one generator, under the generator's name.

    ``module`` is its package, such as ``deployments.generators.image``. ``num_gpus`` is its share
    of a GPU; 0 declares none. ``num_cpus`` is the number of cores that Ray reserves for a replica;
    torch may use more than that.
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
    return deploy(GeneratorWorker).bind(module, profile, num_gpus)
