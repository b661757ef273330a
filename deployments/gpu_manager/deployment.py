"""The Ray Serve deployment that owns a device: one replica a GPU, or one on a machine without.

Its models serve the replicas of all generators. They call it through
:class:`deployments.gpu_manager.client.ManagedInference`.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import structlog
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from db.settings import StoreSettings
from deployments.gpu_manager.engine_metrics import EngineMetrics
from deployments.gpu_manager.manager_choice import REPORT_INTERVAL_S
from deployments.gpu_manager.memory_metrics import MemorySampler
from deployments.gpu_manager.messages import Message
from deployments.gpu_manager.names import GPU_MANAGER
from deployments.gpu_manager.operation_runner import OperationRunner
from deployments.gpu_manager.watched_jobs import WatchedJobs
from deployments.log_config import configure_logging
from deployments.malloc import (
    expand_cuda_segments,
    keep_freed_memory,
    limit_arenas,
    number_cards_as_the_driver_does,
)
from deployments.ray_replica import current_replica, watch_node_drain
from deployments.settings import SharedSettings
from deployments.stores import Stores
from deployments.tracing import configure_tracing
from models.inference.inference import Caller, Operation
from models.profiles.load import load_profile
from models.profiles.select import gpu_memory_gb, select_profile
from models.scratch import use_work_dir

# Operations wait in their threads for memory and for the engine, so there are many.
MAX_OPERATIONS = 256
# The longest operation is a generated film; its job has a limit of its own.
SHUTDOWN_GRACE_S = 3600.0
# How long before its node goes a manager stops what still runs, so that others hear of it.
MOVE_MARGIN_S = 10.0
HEALTH_CHECK_INTERVAL_S = 1.0  # short, so that a killed replica is replaced soon

log = structlog.get_logger(__name__)


class GpuManager:
    """The models of the installed profile, on this replica's device."""

    async def __init__(self, profile: str | None = None, num_gpus: float = 0.0) -> None:  # type: ignore[misc]
        """Fetch what weights are not here, and load what draws from words.

        Other models are loaded when an operation needs them. Without a ``profile``,
        ``ATELIER_PROFILE`` names it, or the GPU's memory selects it.
        """
        configure_logging()
        configure_tracing(GPU_MANAGER)
        limit_arenas()
        keep_freed_memory()
        expand_cuda_segments()
        number_cards_as_the_driver_does()
        self._name = current_replica()
        name = profile or SharedSettings().profile
        self._profile = name or select_profile(os.environ, gpu_memory_gb() if num_gpus else None)
        self._threads = ThreadPoolExecutor(MAX_OPERATIONS, thread_name_prefix="operation")
        self._move_at = math.inf  # of the event loop's clock
        self._moving: asyncio.Handle | None = None
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._stores = Stores.open(StoreSettings())
        self._watched = WatchedJobs(self._stores.redis)
        self._inference = await loop.run_in_executor(
            self._threads, _load, self._profile, self._watched.is_watched
        )
        self._runner = OperationRunner(self._inference, self._threads, self._name)
        log.info("models_loaded", profile=self._profile, seconds=round(loop.time() - started, 3))
        engine = EngineMetrics()
        self._sampler = MemorySampler(
            GPU_MANAGER,
            self._name,
            self._inference,
            self._stores.sessions,
            also=lambda: engine.export(self._inference.engine_stats()),
        )
        self._sampler.start()
        self._tasks = (
            asyncio.create_task(watch_node_drain(self._drain)),
            asyncio.create_task(self._watched.keep_current()),
        )

    async def profile(self) -> str:
        """Return the name of the profile."""
        return self._profile

    async def run(self, operation: Operation[Any], caller: Caller) -> AsyncIterator[Message]:
        """Run ``operation``; yields ``Started``, reports, and how it ended."""
        with self._watched.at_work(caller.job):
            async with aclosing(self._runner.run(operation, caller)) as messages:
                async for message in messages:
                    yield message

    async def record_routing_stats(self) -> dict[str, Any]:
        """Serve asks each ``REPORT_INTERVAL_S`` and tells the routers of all callers."""
        return self._runner.load().to_message()

    async def check_health(self) -> None:
        """Ray Serve replaces the replica when this raises."""
        self._runner.check_health()

    def _drain(self, within: float | None) -> None:
        """Move what still runs shortly before this node goes; ``within`` is in seconds.

        Serve sends no more operations to a node that drains.
        """
        if within is None:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, within - MOVE_MARGIN_S)
        if at < self._move_at:
            if self._moving is not None:
                self._moving.cancel()
            self._move_at, self._moving = at, loop.call_at(at, self._runner.move_all)

    async def __del__(self) -> None:
        # Its constructor may have failed.
        for task in getattr(self, "_tasks", ()):
            task.cancel()
        if (sampler := getattr(self, "_sampler", None)) is not None:
            await sampler.stop()
        if (stores := getattr(self, "_stores", None)) is not None:
            await stores.close()


def _load(profile: str, is_watched: Callable[[str], bool]) -> Any:
    # Imported here: building the application imports this module, and needs no torch.
    from deployments.gpu_manager.weights import fetch_weights
    from models.inference.local import LocalInference

    use_work_dir(SharedSettings().work_dir)
    installed = load_profile(profile)
    fetch_weights(installed)
    inference = LocalInference(installed, is_watched=is_watched)
    inference.warm_up()
    return inference


def gpu_manager_deployment(
    *,
    profile: str | None = None,
    num_gpus: float = 0.0,
    num_cpus: float = 0.5,
    min_replicas: int = 1,
    max_replicas: int = 1,
) -> serve.Application:
    """Build the deployment.

    ``num_gpus`` is the claim of a GPU: above a half, so that no GPU has two managers; 0 on a
    machine without. The manager uses all of the GPU's memory, whatever it claims.
    """
    actor: dict[str, Any] = {"num_cpus": num_cpus}
    if num_gpus:
        actor["num_gpus"] = num_gpus
    deploy = serve.deployment(
        name=GPU_MANAGER,
        autoscaling_config=AutoscalingConfig(
            min_replicas=min_replicas,
            max_replicas=max_replicas,
            upscale_delay_s=0.0,
            downscale_delay_s=0.0,
        ),
        ray_actor_options=actor,
        max_ongoing_requests=MAX_OPERATIONS,
        request_router_config={
            "request_router_class": "deployments.gpu_manager.router:ManagerRouter",
            "request_routing_stats_period_s": REPORT_INTERVAL_S,
        },
        graceful_shutdown_timeout_s=SHUTDOWN_GRACE_S,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=HEALTH_CHECK_INTERVAL_S,
        health_check_timeout_s=30.0,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deploy(GpuManager).bind(profile, num_gpus)
