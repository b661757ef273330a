"""Queues are paused as Postgres says, also after Redis was wiped."""

from __future__ import annotations

import structlog

from db.jobs import queue_states
from deployments.maintenance.context import MaintenanceContext

log = structlog.get_logger(__name__)


async def sync_queue_states(context: MaintenanceContext) -> int:
    """Pause and resume the queues that are not as they should be; returns how many."""
    async with context.stores.sessions() as session:
        states = await queue_states.get_all(session)
    changed = 0
    for generator, queue in context.queues.items():
        wanted = states.get(generator, queue_states.RUNNING).paused
        if (await queue.counts()).paused != wanted:
            await queue.set_paused(wanted)
            log.warning("queue_paused" if wanted else "queue_resumed", generator=generator)
            changed += 1
    return changed
