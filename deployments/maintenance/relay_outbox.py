"""Deliver outbox rows whose sender ended first, or could not reach Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from db.errors import StoreUnavailable
from db.outbox import rows as outbox
from db.redis.client import publish_event
from db.tables import FINAL_STATUSES, Outbox
from deployments.maintenance.context import MaintenanceContext
from deployments.messaging.job_events import done_event

MAX_DELAY = timedelta(minutes=10)
MAX_DOUBLINGS = 10  # seconds doubled so often exceed the longest delay

log = structlog.get_logger(__name__)


async def relay_outbox(context: MaintenanceContext) -> int:
    """Deliver all rows that are due; returns how many were delivered.

    A row that fails for a reason of its own is retried with growing delays, so that it never blocks
    the others. The locks on the rows end with their transaction.
    """
    delivered = 0
    if not await outbox.is_any_due(context.stores.statements):
        return 0
    while (now := await _relay_some(context)) > 0:
        delivered += now
    return delivered


async def _relay_some(context: MaintenanceContext) -> int:
    delivered = 0
    async with context.stores.sessions.begin() as session:
        for row in await outbox.due(session):
            try:
                await _deliver(context, row.topic, row.payload)
            except StoreUnavailable:
                log.info("relay_waits_for_redis", topic=row.topic)
                break
            except Exception as error:
                log.warning("outbox_row_failed", key=row.natural_key, error=type(error).__name__)
                await _postpone(session, row)
            else:
                await outbox.confirm(session, row.topic, row.natural_key)
                delivered += 1
    return delivered


async def _deliver(context: MaintenanceContext, topic: str, payload: dict[str, Any]) -> None:
    if topic == outbox.ENQUEUE:
        queue = context.queues[payload["generator"]]
        await queue.push(payload["job_id"], payload["attempt"], payload["queue_tag"])
    elif topic == outbox.NOTIFY:
        status = payload["type"].removeprefix("job.")
        if status in FINAL_STATUSES:
            await publish_event(context.stores.redis, payload["job_id"], done_event(status))
    else:
        raise LookupError(f"no delivery for the topic {topic}")


async def _postpone(session: AsyncSession, row: Outbox) -> None:
    delay = timedelta(seconds=2 ** min(row.attempts, MAX_DOUBLINGS))
    await outbox.postpone(session, row, min(delay, MAX_DELAY))
