"""The queue follows the database: every queued row has its message, whatever became of Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import structlog

from db.jobs import queries
from db.jobs.queue_order import next_message_id
from db.redis.client import read_epoch, write_epoch
from db.tables import Job
from deployments.maintenance.context import MaintenanceContext, push_job

PAGE = 500
# Younger rows are on their way: their sender, or the relay, is just pushing them.
MIN_AGE = timedelta(seconds=10)

log = structlog.get_logger(__name__)


async def refill_if_wiped(context: MaintenanceContext) -> int:
    """Push every queued row if Redis has lost its epoch; returns how many rows that were.

    The epoch is written last: what is interrupted here is done again from the start.
    """
    if await read_epoch(context.stores.redis) is not None:
        return 0
    pushed = 0
    for generator in context.queues:
        async for page in _pages(context, generator, timedelta(0)):
            for job in page:
                await push_job(context, job)
            pushed += len(page)
    epoch = await write_epoch(context.stores.redis)
    log.warning("queues_refilled", pushed=pushed, epoch=epoch)
    return pushed


async def reconcile_queues(context: MaintenanceContext, older_than: timedelta = MIN_AGE) -> int:
    """Push the queued rows whose message the queue does not know; returns how many.

    A job that is claimed between the two looks is pushed once too often: its claim is refused.
    """
    pushed = 0
    for generator, queue in context.queues.items():
        async for page in _pages(context, generator, older_than):
            known = await queue.contains([next_message_id(job) for job in page])
            for job in page:
                if next_message_id(job) not in known:
                    await push_job(context, job)
                    pushed += 1
    if pushed:
        log.warning("lost_messages_pushed", pushed=pushed)
    return pushed


async def _pages(
    context: MaintenanceContext, generator: str, older_than: timedelta
) -> AsyncIterator[Sequence[Job]]:
    """The queued rows of a generator in id order; no connection is held between pages."""
    after: str | None = None
    while True:
        async with context.stores.sessions() as session:
            page = await queries.find_waiting(session, generator, after, older_than, PAGE)
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].id
