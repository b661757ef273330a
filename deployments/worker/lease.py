"""Beside a running generator: send heartbeats, publish events, and watch for a cancel.

Heartbeats and events have a loop each, so that a Redis that is down delays no heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from db.errors import StoreUnavailable
from db.jobs import transitions
from db.object_store import temp_key
from db.redis.client import get_cancel_flags, get_watched
from db.tables import Job
from deployments.messaging.job_events import preview_event, progress_event, publish
from deployments.retry import STORE_DOWN
from deployments.stores import Stores
from deployments.worker.context import RunContext, StopReason
from deployments.worker.inputs import save_kept_files
from deployments.worker.metadata import tell_metadata

HEARTBEAT_INTERVAL_S = 3.0
PUBLISH_INTERVAL_S = 0.5
FLAGS_CHECK_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def hold_lease(stores: Stores, job: Job, context: RunContext) -> AsyncIterator[None]:
    """Renew the attempt's lease and publish its progress for as long as the block runs.

    Stops ``context`` if the owner cancels the job, or if another attempt owns the row.
    """
    over = asyncio.Event()
    loops = [
        asyncio.create_task(_heartbeat_loop(stores, job, context, over)),
        asyncio.create_task(_publish_loop(stores, job, context, over)),
    ]
    try:
        yield
    finally:
        # The event ends the loops even if a client library swallows the cancellation in the middle
        # of a call, as the Redis client was seen to do: else the job would never be settled.
        over.set()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def _heartbeat_loop(
    stores: Stores, job: Job, context: RunContext, over: asyncio.Event
) -> None:
    """Send a heartbeat every few seconds; the answer says whether this attempt owns the row."""
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
    """Publish progress, previews and metadata, store kept files, and look at the job's flags.

    The flags, in Redis, tell whether its owner canceled it, sooner than ``cancel_requested_at`` of
    the row does, and whether somebody watches it, and wants previews.
    """
    published = (0.0, "")  # of a job that just began
    previews, told = 0, 0
    now = asyncio.get_running_loop().time
    next_check = now() + FLAGS_CHECK_INTERVAL_S
    while not over.is_set():
        try:
            state = context.state
            if state != published:
                await publish(stores.redis, job.id, progress_event(*state))
                published = state
            if (version := context.version) != told:
                await tell_metadata(stores, job, context)
                told = version
            preview = context.take_preview()
            if preview is not None:
                await _publish_preview(stores, job, previews, preview)
                previews += 1
            await save_kept_files(stores, job, context)
            if now() >= next_check:
                next_check = now() + FLAGS_CHECK_INTERVAL_S
                context.set_watched(job.id in await get_watched(stores.redis, [job.id]))
                if job.id in await get_cancel_flags(stores.redis, [job.id]):
                    context.stop(StopReason.CANCELED)
        except StoreUnavailable as error:
            log.debug("progress_not_shown", store=error.store)
        except Exception:
            log.exception("progress_not_shown")
        await asyncio.sleep(PUBLISH_INTERVAL_S)


async def _publish_preview(stores: Stores, job: Job, number: int, preview: bytes) -> None:
    key = temp_key(job.id, f"preview-{job.attempt}-{number}.png")
    await stores.objects.put_bytes(key, preview, "image/png")
    await publish(stores.redis, job.id, preview_event(key))
