"""Make the queues match the database: push a message for every queued row that has none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import structlog

from db.jobs import queries
from db.jobs.queue_messages import next_message_id
from db.redis.client import read_epoch, write_epoch
from db.tables import Job
from deployments.maintenance.context import MaintenanceContext, push_job

PAGE = 500
# Younger rows may be on their way: their sender or the relay pushes them at this moment.
MIN_AGE = timedelta(seconds=10)

log = structlog.get_logger(__name__)


async def refill_if_wiped(context: MaintenanceContext) -> int:
    """Push every queued row if Redis has lost its epoch, that is all its data; returns how many.

    The epoch is written last: an interrupted run starts again from the beginning.
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
    if pushed:  # the Redis of a new installation is empty too, and lost nothing
        log.warning("queues_refilled", pushed=pushed, epoch=epoch)
    return pushed


async def reconcile_queues(context: MaintenanceContext, older_than: timedelta = MIN_AGE) -> int:
    """Push the queued rows whose message is not in the queue; returns how many.

    A job claimed between the two reads gets one message too many, whose claim is refused.
    """
    pushed = 0
    for generator, queue in context.queues.items():
        async for page in _pages(context, generator, older_than):
            present = await queue.contains([next_message_id(job) for job in page])
            for job in page:
                if next_message_id(job) not in present:
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
        async with context.stores.statements() as session:
            page = await queries.find_waiting(session, generator, after, older_than, PAGE)
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].id
