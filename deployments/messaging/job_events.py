"""The live events of a job. Publishing is best effort: the job's row has the same facts.

=========  ===================================  ==============================================
event      fields                               when
=========  ===================================  ==============================================
status     status, attempt                      an attempt began, or the job is queued again
progress   fraction (0..1), stage               as the generator reports it
preview    object_key                           an intermediate picture was stored (temp/)
done       status                               the job is final; nothing follows
=========  ===================================  ==============================================
"""

from __future__ import annotations

from typing import Any

import structlog
from redis.asyncio import Redis

from db.errors import StoreUnavailable
from db.outbox import rows as outbox
from db.redis.client import publish_event
from db.session import Sessions
from db.tables import Job
from deployments.retry import STORE_DOWN

log = structlog.get_logger(__name__)


def status_event(status: str, attempt: int) -> dict[str, Any]:
    return {"type": "status", "status": status, "attempt": attempt}


def progress_event(fraction: float, stage: str) -> dict[str, Any]:
    return {"type": "progress", "fraction": round(fraction, 4), "stage": stage}


def preview_event(object_key: str) -> dict[str, Any]:
    return {"type": "preview", "object_key": object_key}


def done_event(status: str) -> dict[str, Any]:
    return {"type": "done", "status": status}


async def publish(redis: Redis, job_id: str, event: dict[str, Any]) -> bool:
    """Publish an event; False if Redis is down."""
    try:
        await publish_event(redis, job_id, event)
    except StoreUnavailable:
        log.info("event_not_published", job_id=job_id, event_type=event["type"])
        return False
    return True


async def publish_done(redis: Redis, sessions: Sessions, job: Job) -> None:
    """Publish that ``job`` is final, and confirm the outbox row that its settlement wrote.

    If a store is down, the row stays in the outbox and maintenance delivers it.
    """
    if not await publish(redis, job.id, done_event(job.status)):
        return
    try:
        async with sessions.begin() as session:
            await outbox.confirm(session, outbox.NOTIFY, f"{job.id}:{job.status}")
    except STORE_DOWN as error:
        log.info("outbox_row_not_confirmed", job_id=job.id, error=type(error).__name__)
