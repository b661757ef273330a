"""Beside a running generator: send heartbeats, publish events, and watch for a cancel.

Heartbeats and events have a loop each, so that a Redis that is down delays no heartbeat. The loops
of all jobs of a replica go together to the stores (``deployments.worker.replica_calls``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from db.errors import StoreUnavailable
from db.jobs.transitions import Heartbeat
from db.object_store import temp_key
from db.tables import Job
from deployments.messaging.job_events import preview_event, progress_event
from deployments.retry import STORE_DOWN
from deployments.stores import Stores
from deployments.worker.context import RunContext, StopReason
from deployments.worker.inputs import save_kept_files
from deployments.worker.metadata import tell_metadata
from deployments.worker.replica_calls import ReplicaCalls

HEARTBEAT_INTERVAL_S = 3.0
PUBLISH_INTERVAL_S = 0.5
FLAGS_CHECK_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def hold_lease(
    stores: Stores, job: Job, context: RunContext, calls: ReplicaCalls | None = None
) -> AsyncIterator[None]:
    """Renew the attempt's lease and publish its progress for as long as the block runs.

    Stops ``context`` if the owner cancels the job, or if another attempt owns the row. ``calls``
    are shared with the other jobs of the replica; without them the job asks alone.
    """
    over = asyncio.Event()
    calls = calls or ReplicaCalls(stores)
    loops = [
        asyncio.create_task(_heartbeat_loop(calls, job, context, over)),
        asyncio.create_task(_publish_loop(stores, calls, job, context, over)),
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
    calls: ReplicaCalls, job: Job, context: RunContext, over: asyncio.Event
) -> None:
    """Send a heartbeat every few seconds; the answer says whether this attempt owns the row."""
    while not over.is_set():
        await calls.wait(HEARTBEAT_INTERVAL_S)
        try:
            canceled = await calls.heartbeat(Heartbeat(job.id, job.attempt, *context.state))
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


async def _publish_loop(
    stores: Stores, calls: ReplicaCalls, job: Job, context: RunContext, over: asyncio.Event
) -> None:
    """Publish progress, previews and metadata, store kept files, and look at the job's flags.

    The flags, in Redis, tell whether its owner canceled it, sooner than ``cancel_requested_at`` of
    the row does, and whether somebody watches it, and wants previews.
    """
    published = (0.0, "")  # of a job that just began
    previews, told = 0, 0
    now = asyncio.get_running_loop().time
    next_check = calls.next_moment(FLAGS_CHECK_INTERVAL_S)
    while not over.is_set():
        try:
            state = context.state
            if state != published:
                await _publish(calls, job, progress_event(*state))
                published = state
            if (version := context.version) != told:
                await tell_metadata(stores, job, context)
                told = version
            preview = context.take_preview()
            if preview is not None:
                key = temp_key(job.id, f"preview-{job.attempt}-{previews}.png")
                await stores.objects.put_bytes(key, preview, "image/png")
                await _publish(calls, job, preview_event(key))
                previews += 1
            await save_kept_files(stores, job, context)
            if now() > next_check - PUBLISH_INTERVAL_S / 2:  # at this moment and not at the next
                next_check = calls.next_moment(FLAGS_CHECK_INTERVAL_S)
                flags = await calls.get_flags(job.id)
                context.set_watched(flags.watched)
                if flags.canceled:
                    context.stop(StopReason.CANCELED)
        except (StoreUnavailable, TimeoutError) as error:
            log.debug("progress_not_shown", error=type(error).__name__)
        except Exception:
            log.exception("progress_not_shown")
        await calls.wait(PUBLISH_INTERVAL_S)


async def _publish(calls: ReplicaCalls, job: Job, event: dict[str, Any]) -> None:
    try:
        await calls.publish(job.id, event)
    except (StoreUnavailable, TimeoutError):
        log.info("event_not_published", event_type=event["type"])
