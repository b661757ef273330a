"""One loaded generator and the loop that takes jobs from its queue. No Ray in here.

``GeneratorHost`` loads the generator, runs jobs, and on a drain finishes them or queues them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from billing.job_policy import TIMING_SAMPLE_WEIGHT
from db.errors import StoreUnavailable
from db.jobs import queries
from db.redis.job_timings import record_job_seconds
from db.redis.queue_worker import WorkerHandle, make_worker
from db.settings import StoreSettings
from deployments.catalog import new_generator
from deployments.contract import GeneratorSpec
from deployments.retry import retry_while_unavailable
from deployments.settings import SharedSettings
from deployments.stores import Stores
from deployments.worker.drain_signal import DrainSignal
from deployments.worker.outputs import STORE_TIMEOUT_S
from deployments.worker.replica_calls import ReplicaCalls
from deployments.worker.runner import GeneratorStuck, LoadedGenerator, run_job
from models.inference.inference import Inference
from models.scratch import use_work_dir

RESTART_DELAY_S = 1.0
# How long before its deadline a replica stops its running jobs: a generator needs some seconds to
# notice the stop, and queueing a job again takes some more.
REQUEUE_MARGIN_S = 10.0

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
        self._drain_signal = DrainSignal()
        self._drain_timer: asyncio.Handle | None = None
        self._drain_at = math.inf
        self._stuck = False
        self._drained: asyncio.Task[None] | None = None

    async def start(
        self, replica: SharedSettings, name: str, inference: Inference | None = None
    ) -> None:
        """Load the generator (in a thread, since it takes a second) and begin to take jobs.

        ``inference`` are the models that its jobs use. Jobs are claimed under ``name``. A store
        that is down does not stop the start: the host uses it once it is back.
        """
        loop = asyncio.get_running_loop()
        calls = ReplicaCalls(self._stores)

        def load() -> LoadedGenerator:
            for folder in use_work_dir(replica.work_dir):
                log.info("abandoned_folder_removed", folder=folder.name)
            return LoadedGenerator(
                self.spec,
                new_generator(self.spec),
                self._threads,
                replica.work_dir,
                replica.fetch_private,
                replica=name,
                drain_signal=self._drain_signal,
                inference=inference,
                calls=calls,
            )

        started = loop.time()
        self._loaded = await loop.run_in_executor(self._threads, load)
        log.info("generator_loaded", seconds=loop.time() - started)
        self._loop = asyncio.create_task(self._worker_loop())

    async def drain(self, within: float | None = None) -> None:
        """Take no more jobs, finish the running ones, then close the stores and threads.

        A job that still runs shortly before ``within`` seconds are over is queued again; with None
        every job is finished, however long it takes. A generator that never calls its context
        cannot be stopped: its job is lost when the process ends. Every call waits for the same
        drain, and the earliest deadline counts.
        """
        await asyncio.shield(self.start_drain(within))

    def start_drain(self, within: float | None) -> asyncio.Task[None]:
        """Start ``drain`` and return its task."""
        loop = asyncio.get_running_loop()
        if self._drained is None:
            self._drained = loop.create_task(self._drain())
        if within is not None:
            at = loop.time() + max(0.0, within - REQUEUE_MARGIN_S)
            if at < self._drain_at:
                if self._drain_timer is not None:
                    self._drain_timer.cancel()
                # Not asked for its time later: uvloop's handle of a time that is over has none.
                self._drain_at = at
                self._drain_timer = loop.call_at(at, self._drain_signal.trigger)
        return self._drained

    async def _drain(self) -> None:
        if self._worker is not None:
            await self._worker.drain()
        if self._loop is not None:
            # The loop may be sleeping between two workers.
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        await self._stores.close()
        self._threads.shutdown(wait=False)
        log.info("generator_drained")

    def check(self) -> None:
        """Check that this host can still run jobs.

        Raises:
            RuntimeError: it cannot, and has to be replaced.
        """
        if self._stuck:
            raise RuntimeError(f"a job of {self.spec.name} holds its thread and cannot be stopped")
        if self._loop is not None and self._loop.done() and self._drained is None:
            raise RuntimeError(f"the loop that takes jobs for {self.spec.name} has died")

    async def _worker_loop(self) -> None:
        """Run a queue worker; start another one if it ends by itself, as in an outage of Redis."""
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
        # The jobs of a worker that broke still run: those of the next worker wait for their slots.
        async with self._acquire_slots(exclusive=await self._was_lost_before(job_id, attempt)):
            started = asyncio.get_running_loop().time()
            try:
                ended = await run_job(self._stores, self._loaded, job_id, attempt)
            except GeneratorStuck:
                self._stuck = True
                raise
            if ended is not None and ended.status == "succeeded":
                await self._record_seconds(asyncio.get_running_loop().time() - started)

    async def _was_lost_before(self, job_id: str, attempt: int) -> bool:
        """Whether an earlier attempt was lost with its replica; a drained attempt was not."""
        if attempt == 1:
            return False

        async def read_losses() -> bool:
            async with self._stores.sessions() as session:
                job = await queries.get(session, job_id)
            return job is not None and job.losses > 0

        return await retry_while_unavailable("look", read_losses, STORE_TIMEOUT_S)

    @asynccontextmanager
    async def _acquire_slots(self, *, exclusive: bool) -> AsyncIterator[None]:
        """Hold one slot, or every slot for a job whose replica was lost before.

        A job that runs alone cannot crash the process under other jobs, and if the process does
        crash, that job is the cause.
        """
        if not exclusive:
            async with self._free_slots:
                yield
            return
        async with self._exclusive_lock, AsyncExitStack() as slots:
            for _ in range(self.spec.concurrency):
                await slots.enter_async_context(self._free_slots)
            yield

    async def _record_seconds(self, seconds: float) -> None:
        """Add a sample for the autoscaling policy, which uses the catalogue's estimate without."""
        try:
            await record_job_seconds(
                self._stores.redis, self.spec.name, seconds, sample_weight=TIMING_SAMPLE_WEIGHT
            )
        except StoreUnavailable:
            log.info("pace_not_recorded")
