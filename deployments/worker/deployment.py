"""The one Ray Serve class that every generator runs in. It pulls its jobs; nobody calls it.

``GeneratorHost`` is the whole of it without Ray: load, take jobs, and when told to stop finish them
or hand them back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from db.errors import StoreUnavailable
from db.jobs import queries
from db.redis.job_timings import TimingKind, record_timing
from db.redis.queue_worker import WorkerHandle, make_worker
from db.settings import StoreSettings
from deployments.catalog import load_spec, new_generator
from deployments.contract import GeneratorSpec, Runtime
from deployments.messaging.logging import configure_logging
from deployments.messaging.retry import retry_while_unavailable
from deployments.settings import ReplicaSettings
from deployments.stores import Stores
from deployments.worker.drain import DrainSignal
from deployments.worker.malloc import limit_arenas
from deployments.worker.memory_metrics import HasMemoryStats, MemorySampler
from deployments.worker.outputs import STORE_TIMEOUT_S
from deployments.worker.ray_replica import current_replica, shutdown_grace_s, watch_node_drain
from deployments.worker.runner import GeneratorStuck, LoadedGenerator, run_job
from models.profiles.select import gpu_memory_gb, select_profile

RESTART_DELAY_S = 1.0
# What a job may take beyond its generating: waiting out a store at upload and at settle.
SHUTDOWN_MARGIN_S = 150.0
# How long before its deadline a replica asks for its jobs back: what a generator takes to notice,
# and what handing back takes.
REQUEUE_MARGIN_S = 10.0
HEALTH_CHECK_INTERVAL_S = 1.0  # a killed replica is noticed this soon

log = structlog.get_logger(__name__)


class GeneratorHost:
    """A loaded generator and the loop that takes jobs from its queue."""

    def __init__(self, spec: GeneratorSpec[Any], settings: StoreSettings) -> None:
        self.spec = spec
        self._redis_url = settings.redis_url.get_secret_value()
        self._stores = Stores.open(settings)
        self._threads = ThreadPoolExecutor(spec.concurrency, thread_name_prefix=spec.name)
        self._free_slots = asyncio.Semaphore(spec.concurrency)
        self._exclusive_lock = asyncio.Lock()
        self._loaded: LoadedGenerator | None = None
        self._worker: WorkerHandle | None = None
        self._loop: asyncio.Task[None] | None = None
        self._sampler: MemorySampler | None = None
        self._timing_task: asyncio.Task[None] | None = None
        self._drain_signal = DrainSignal()
        self._drain_timer: asyncio.TimerHandle | None = None
        self._stuck = False
        self._drained: asyncio.Task[None] | None = None

    async def start(self, runtime: Runtime, replica: ReplicaSettings, name: str) -> None:
        """Load the generator (in a thread, since it takes seconds) and begin to take jobs.

        ``name`` is the replica's, under which its memory is recorded and its jobs are claimed.
        Needs none of the stores: those that are down are taken up once they are back.
        """
        loop = asyncio.get_running_loop()
        if replica.work_dir is not None:
            replica.work_dir.mkdir(parents=True, exist_ok=True)

        def load() -> LoadedGenerator:
            generator = new_generator(self.spec)
            generator.load(runtime)
            return LoadedGenerator(
                self.spec,
                generator,
                self._threads,
                replica.work_dir,
                replica.fetch_private,
                replica=name,
                drain_signal=self._drain_signal,
            )

        started = loop.time()
        self._loaded = await loop.run_in_executor(self._threads, load)
        took = loop.time() - started
        log.info("generator_loaded", profile=runtime.profile, seconds=took)
        self._timing_task = asyncio.create_task(self._record_timing("load_s", took))
        generator = self._loaded.generator
        if isinstance(generator, HasMemoryStats):
            self._sampler = MemorySampler(self.spec.name, name, generator, self._stores.sessions)
            self._sampler.start()
        self._loop = asyncio.create_task(self._worker_loop())

    async def drain(self, within: float | None = None) -> None:
        """Take no more jobs, finish those at hand, then let go of everything.

        What still runs shortly before ``within`` seconds are over is handed back; with None all of
        it is finished, however long that takes. A generator that does not look at its context is
        waited for: its job is lost with the process. May be called again: every call waits for the
        same end, and the earliest deadline counts.
        """
        await asyncio.shield(self.start_drain(within))

    def start_drain(self, within: float | None) -> asyncio.Task[None]:
        """``drain`` without waiting for it."""
        loop = asyncio.get_running_loop()
        if self._drained is None:
            self._drained = loop.create_task(self._drain())
        if within is not None:
            at = loop.time() + max(0.0, within - REQUEUE_MARGIN_S)
            if self._drain_timer is None or at < self._drain_timer.when():
                if self._drain_timer is not None:
                    self._drain_timer.cancel()
                self._drain_timer = loop.call_at(at, self._drain_signal.trigger)
        return self._drained

    async def _drain(self) -> None:
        if self._worker is not None:
            await self._worker.drain()
        if self._loop is not None:
            # Woken out of a pause between two workers, if that is where it is.
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        if self._sampler is not None:
            await self._sampler.stop()
        if self._timing_task is not None:
            await self._timing_task
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        await self._stores.close()
        self._threads.shutdown(wait=False)
        log.info("generator_drained")

    def check(self) -> None:
        """Raises RuntimeError if this host will never run a job again."""
        if self._stuck:
            raise RuntimeError(f"a job of {self.spec.name} holds its thread and will not let go")
        if self._loop is not None and self._loop.done() and self._drained is None:
            raise RuntimeError(f"the loop that takes jobs for {self.spec.name} has died")

    async def _worker_loop(self) -> None:
        """Keep a worker on the queue; one that ended by itself (an outage) gets a successor."""
        while self._drained is None:
            self._worker = make_worker(
                self._redis_url, self.spec.name, self._process, self.spec.concurrency
            )
            try:
                await self._worker.run()
            except RuntimeError as error:
                log.warning("queue_worker_ended", reason=str(error))
                await asyncio.sleep(RESTART_DELAY_S)

    async def _process(self, job_id: str, attempt: int) -> None:
        assert self._loaded is not None, "no worker runs before the generator is loaded"
        # A worker that broke leaves its jobs running: its successor waits for their seats.
        async with self._acquire_slots(exclusive=await self._was_lost_before(job_id, attempt)):
            started = asyncio.get_running_loop().time()
            try:
                ended = await run_job(self._stores, self._loaded, job_id, attempt)
            except GeneratorStuck:
                self._stuck = True
                raise
            if ended is not None and ended.status == "succeeded":
                await self._record_timing("job_s", asyncio.get_running_loop().time() - started)

    async def _was_lost_before(self, job_id: str, attempt: int) -> bool:
        """Whether a replica was lost with this job; one that handed it back was not."""
        if attempt == 1:
            return False

        async def look() -> bool:
            async with self._stores.sessions() as session:
                job = await queries.get(session, job_id)
            return job is not None and job.losses > 0

        return await retry_while_unavailable("look", look, STORE_TIMEOUT_S)

    @asynccontextmanager
    async def _acquire_slots(self, *, exclusive: bool) -> AsyncIterator[None]:
        """One seat; all of them for a job whose replica was lost before.

        Alone, it cannot take others down with it, and if it takes this replica down as well there
        is no doubt which job did.
        """
        if not exclusive:
            async with self._free_slots:
                yield
            return
        async with self._exclusive_lock, AsyncExitStack() as seats:
            for _ in range(self.spec.concurrency):
                await seats.enter_async_context(self._free_slots)
            yield

    async def _record_timing(self, what: TimingKind, seconds: float) -> None:
        """What the autoscaling policy divides by; without it the catalogue's estimate holds."""
        try:
            await record_timing(self._stores.redis, self.spec.name, what, seconds)
        except StoreUnavailable:
            log.info("pace_not_recorded", what=what)


class GeneratorWorker:
    """``GeneratorHost`` as a Ray Serve replica."""

    async def __init__(  # type: ignore[misc]
        self, module: str, profile: str | None = None, num_gpus: float = 0.0
    ) -> None:
        """``profile`` of None is the environment's (``ATELIER_PROFILE``), or the GPU's."""
        configure_logging()
        limit_arenas()
        replica = ReplicaSettings()
        spec = load_spec(module)
        structlog.contextvars.bind_contextvars(generator=spec.name)
        self._host = GeneratorHost(spec, StoreSettings())
        chosen = profile or replica.profile
        if chosen is None:
            # Looking for the GPU imports torch: a replica that was given none need not.
            chosen = select_profile(os.environ, gpu_memory_gb() if num_gpus else None)
        await self._host.start(Runtime(chosen, num_gpus), replica, current_replica())
        self._watch = asyncio.create_task(watch_node_drain(self._host.start_drain))

    async def __call__(self) -> Mapping[str, str]:
        """Which generator this is; jobs come through the queue."""
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
    """How many replicas a generator has: between ``least`` and ``most``, as the application's
    autoscaling policy says; both the same where they are not to change."""

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
    """The deployment of one generator, named after it.

    ``module`` is its package, such as ``deployments.generators.image``. ``num_gpus`` is its share
    of a GPU; 0 declares none, as on a machine without one. Replicas share their CPUs with what else
    runs: ``num_cpus`` is what Ray sets aside, not what torch may use.
    """
    actor: dict[str, Any] = {"num_cpus": num_cpus}
    if num_gpus:
        actor["num_gpus"] = num_gpus
    deploy = serve.deployment(
        name=spec.name,
        # The policy has its own ideas of haste and patience: Serve adds none.
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
