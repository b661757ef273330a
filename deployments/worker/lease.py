"""What goes on beside a running generator: the heartbeat, the events, and the watch for a cancel.

Two loops, so that a Redis that is down cannot cost the row its heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from db.errors import StoreUnavailable
from db.jobs import transitions
from db.object_store import temp_key
from db.redis.client import get_cancel_flags
from db.tables import Job
from deployments.messaging.job_events import preview_event, progress_event, publish
from deployments.messaging.retry import STORE_DOWN
from deployments.stores import Stores
from deployments.worker.context import RunContext, StopReason
from deployments.worker.inputs import save_kept_files

HEARTBEAT_INTERVAL_S = 3.0
PUBLISH_INTERVAL_S = 0.2
CANCEL_CHECK_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def hold_lease(stores: Stores, job: Job, context: RunContext) -> AsyncIterator[None]:
    """Keep the attempt's lease alive and its watchers informed for as long as the block runs.

    Stops ``context`` if the owner cancels, or if the row turns out to belong to somebody else.
    """
    over = asyncio.Event()
    loops = [
        asyncio.create_task(_heartbeat_loop(stores, job, context, over)),
        asyncio.create_task(_publish_loop(stores, job, context, over)),
    ]
    try:
        yield
    finally:
        # Told as well as cancelled: a client library in the middle of a call may swallow the
        # cancellation (the Redis client has been seen to), and the job would never be settled.
        over.set()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def _heartbeat_loop(
    stores: Stores, job: Job, context: RunContext, over: asyncio.Event
) -> None:
    """Every few seconds: this attempt is alive. It is also where it learns that it is not."""
    while not over.is_set():
        await asyncio.sleep(HEARTBEAT_INTERVAL_S)
        fraction, stage = context.state
        try:
            async with (
                asyncio.timeout(2 * HEARTBEAT_INTERVAL_S),
                stores.sessions.begin() as session,
            ):
                canceled = await transitions.heartbeat(
                    session, job.id, job.attempt, fraction, stage
                )
        except (*STORE_DOWN, TimeoutError) as error:
            log.warning("heartbeat_failed", error=type(error).__name__)
            continue
        except Exception:
            log.exception("heartbeat_failed")
            continue
        if canceled is None:
            log.warning("attempt_lost")
            context.stop(StopReason.LOST)
            return
        if canceled:
            context.stop(StopReason.CANCELED)


async def _publish_loop(stores: Stores, job: Job, context: RunContext, over: asyncio.Event) -> None:
    """Publish what changed, and look for the cancel flag, which is quicker than the row's."""
    shown: tuple[float, str] | None = None
    pictures = 0
    now = asyncio.get_running_loop().time
    look_again = now() + CANCEL_CHECK_INTERVAL_S
    while not over.is_set():
        try:
            state = context.state
            if state != shown:
                await publish(stores.redis, job.id, progress_event(*state))
                shown = state
            picture = context.take_preview()
            if picture is not None:
                await _publish_preview(stores, job, pictures, picture)
                pictures += 1
            await save_kept_files(stores, job, context)
            if now() >= look_again:
                look_again = now() + CANCEL_CHECK_INTERVAL_S
                if job.id in await get_cancel_flags(stores.redis, [job.id]):
                    context.stop(StopReason.CANCELED)
        except StoreUnavailable as error:
            log.debug("progress_not_shown", store=error.store)
        except Exception:
            log.exception("progress_not_shown")
        await asyncio.sleep(PUBLISH_INTERVAL_S)


async def _publish_preview(stores: Stores, job: Job, number: int, picture: bytes) -> None:
    key = temp_key(job.id, f"preview-{job.attempt}-{number}.png")
    await stores.objects.put_bytes(key, picture, "image/png")
    await publish(stores.redis, job.id, preview_event(key))
