"""The queue follows the database: every queued row has its message, whatever became of Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import structlog

from db import jobs
from db.redis import read_epoch, write_epoch
from db.tables import Job
from db.turns import next_message
from deployments.keeping.house import House, push

PAGE = 500
# Younger rows are on their way: their sender, or the relay, is just pushing them.
SETTLED_AFTER = timedelta(seconds=10)

log = structlog.get_logger(__name__)


async def refill_if_wiped(house: House) -> int:
    """Push every queued row if Redis has lost its epoch; returns how many rows that were.

    The epoch is written last: what is interrupted here is done again from the start.
    """
    if await read_epoch(house.stores.redis) is not None:
        return 0
    pushed = 0
    for generator in house.queues:
        async for page in _pages(house, generator, timedelta(0)):
            for job in page:
                await push(house, job)
            pushed += len(page)
    epoch = await write_epoch(house.stores.redis)
    log.warning("queues_refilled", pushed=pushed, epoch=epoch)
    return pushed


async def reconcile(house: House, older_than: timedelta = SETTLED_AFTER) -> int:
    """Push the queued rows whose message the queue does not know; returns how many.

    A job that is claimed between the two looks is pushed once too often: its claim is refused.
    """
    pushed = 0
    for generator, queue in house.queues.items():
        async for page in _pages(house, generator, older_than):
            known = await queue.contains([next_message(job) for job in page])
            for job in page:
                if next_message(job) not in known:
                    await push(house, job)
                    pushed += 1
    if pushed:
        log.warning("lost_messages_pushed", pushed=pushed)
    return pushed


async def _pages(
    house: House, generator: str, older_than: timedelta
) -> AsyncIterator[Sequence[Job]]:
    """The queued rows of a generator in id order; no connection is held between pages."""
    after: str | None = None
    while True:
        async with house.stores.sessions() as session:
            page = await jobs.waiting(session, generator, after, older_than, PAGE)
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].id
