"""The worker side of a queue, written around the faults of BullMQ for Python 3.4.4.

1. ``Worker.close()`` stops renewing locks while jobs still run, and ``pause()`` suspends the
   loop, so that nobody holds a message fetched at that moment: ``drain`` stops the fetching
   instead, lets the loop finish its messages, and only then closes.
2. The client's read timeout must outlast the blocking read: see ``db.redis.client.open_redis``.
3. A worker started while Redis is down, or whose loop broke, ends silently: ``run`` ends
   with it, and ``is_alive`` says so.
4. Few client retries lose a completion in an outage: the client is a patient one. A lost
   completion comes a second time; the claim in Postgres drops it.
5. A stalled message jumps ahead and keeps its attempt count: ours is in the message and decides.
6. A blocked event loop loses its locks: ``process`` must do its work in a thread.
7. A CancelledError out of ``process`` would end the loop: it is turned into a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from bullmq import Worker

from db.redis.client import PREFIX, open_redis

ProcessMessage = Callable[[str, int], Awaitable[None]]

LOCK_MS = 15_000
STALLED_CHECK_MS = 4_000
MAX_STALLED = 2
RETRY_MS = 1_000
IDLE_WAIT_S = 5

POLL_S = 0.02
LAST_FETCH_S = 2.0

log = structlog.get_logger(__name__)


class WorkerHandle:
    """Runs a worker: start it with ``asyncio.create_task(handle.run())``, end it with ``drain``."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._loop: asyncio.Task[None] | None = None
        self._ended = False
        self._draining: asyncio.Task[None] | None = None

    @property
    def active(self) -> int:
        """Return how many jobs are being processed."""
        return len(self._worker.jobs)

    async def run(self) -> None:
        """Take messages and process them until drained.

        Raises:
            RuntimeError: the loop ended by itself, with an error or without.
        """
        if self._ended or self._loop is not None:
            raise RuntimeError("a worker runs once")
        self._loop = asyncio.create_task(self._worker.run())
        try:
            await asyncio.shield(self._loop)
        except asyncio.CancelledError:
            if not self._loop.done():
                self._loop.cancel()
                raise
            if self._draining is None:
                raise RuntimeError("the worker's loop was cancelled") from None
        except Exception as error:
            if self._draining is None:
                raise RuntimeError("the worker's loop broke") from error
        finally:
            self._ended = True
        if self._draining is None:
            raise RuntimeError("the worker's loop ended")

    async def drain(self) -> None:
        """Take no more messages, finish those that were taken, then disconnect.

        May be called again; every call waits for the same end.
        """
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        await asyncio.shield(self._draining)

    async def _drain(self) -> None:
        worker = self._worker
        worker.opts["concurrency"] = 0
        log.info("queue_worker_drains", generator=worker.name, running=len(worker.jobs))
        # Ends the idle wait at once; the loop is resumed, since it alone starts what was fetched.
        await worker.pause(do_not_wait_active=True)
        while worker.waiting is not None:  # noqa: ASYNC110 - the library has no event for it
            await asyncio.sleep(POLL_S)
        worker.resume()
        await self._until_idle()
        # A fetch still open now can only be one that retries against a Redis that is down.
        await worker.close(force=bool(worker.processing))
        if self._loop is not None:
            _, stuck = await asyncio.wait({self._loop}, timeout=LAST_FETCH_S)
            for loop in stuck:
                loop.cancel()
        self._ended = True

    async def _until_idle(self) -> None:
        """Wait until no job runs, and for a moment until no fetch is open."""
        now = asyncio.get_running_loop().time
        quiet_since = now()
        while self._worker.jobs or self._worker.processing:
            if self._worker.jobs:
                quiet_since = now()
            elif now() - quiet_since > LAST_FETCH_S or self._loop is None or self._loop.done():
                return
            await asyncio.sleep(POLL_S)


def make_worker(
    redis_url: str, generator: str, process: ProcessMessage, concurrency: int = 1
) -> WorkerHandle:
    """Make a worker on the generator's queue that calls ``process(job_id, attempt_no)``.

    Call it inside a running event loop; nothing is connected before ``run``. Exceptions of
    ``process`` are logged and the message dropped: the job's row decides what comes next.
    """

    async def handle(message: Any, token: str) -> None:
        job_id, attempt_no = str(message.data["job_id"]), int(message.data["attempt"])
        try:
            await process(job_id, attempt_no)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            log.warning("job_processing_cancelled", job_id=job_id, attempt=attempt_no)
            raise RuntimeError("processing was cancelled from within") from None
        except Exception:
            log.exception("job_processing_failed", job_id=job_id, attempt=attempt_no)
            raise

    worker = Worker(
        generator,
        handle,
        {
            "connection": open_redis(redis_url, patient=True),
            "prefix": PREFIX,
            "autorun": False,
            "concurrency": concurrency,
            "lockDuration": LOCK_MS,
            "stalledInterval": STALLED_CHECK_MS,
            "maxStalledCount": MAX_STALLED,
            "runRetryDelay": RETRY_MS,
            "drainDelay": IDLE_WAIT_S,
        },
    )

    def on_error(error: BaseException, *_: Any) -> None:
        log.warning("queue_worker_error", generator=generator, error=type(error).__name__)

    def on_stalled(message_id: str) -> None:
        log.warning("queue_message_stalled", generator=generator, message_id=message_id)

    worker.on("error", on_error)
    worker.on("stalled", on_stalled)
    return WorkerHandle(worker)
