"""Pause and resume queues as Postgres says, also after Redis lost its data."""

from __future__ import annotations

import structlog

from db.jobs import queue_states
from db.redis.queue import count_all
from deployments.maintenance.context import MaintenanceContext

log = structlog.get_logger(__name__)


async def sync_queue_states(context: MaintenanceContext) -> int:
    """Pause or resume every queue whose state in Redis differs from its row; returns how many."""
    async with context.stores.statements() as session:
        states = await queue_states.get_all(session)
    counts = await count_all(context.stores.redis, list(context.queues))
    changed = 0
    for generator, queue in context.queues.items():
        paused = states.get(generator, queue_states.RUNNING).paused
        if counts[generator].paused != paused:
            await queue.set_paused(paused)
            log.warning("queue_paused" if paused else "queue_resumed", generator=generator)
            changed += 1
    return changed
