"""Queued jobs that nobody came to run: they end, and cost nothing."""

from __future__ import annotations

from datetime import timedelta

import structlog

from billing.settlement import Ending, settle
from db import jobs
from db.errors import StoreUnavailable
from deployments import failures
from deployments.announce import tell_done
from deployments.keeping.house import House

# The more urgent a job is, the sooner its result is worth nothing to whoever waits for it.
LIMITS = {
    "high": timedelta(hours=6),
    "normal": timedelta(hours=24),
    "low": timedelta(hours=72),
}

log = structlog.get_logger(__name__)


async def expire(house: House, limits: dict[str, timedelta] = LIMITS) -> int:
    """End the jobs that waited longer than ``limits`` (by priority) allow; returns how many."""
    async with house.stores.sessions() as session:
        found = await jobs.expired(session, limits)
    expired = 0
    for job in found:
        async with house.stores.sessions.begin() as session:
            ended = await settle(session, job, Ending("failed", error=failures.expired()))
        if ended is None:
            continue
        expired += 1
        log.warning("job_expired", job_id=job.id, priority=job.priority)
        await tell_done(house.stores.redis, house.stores.sessions, ended)
        await _forget_message(house, job.generator, job.id, job.attempt + 1)
    return expired


async def _forget_message(house: House, generator: str, job_id: str, attempt: int) -> None:
    queue = house.queues.get(generator)
    try:
        if queue is not None:
            await queue.remove(job_id, attempt)
    except StoreUnavailable:
        log.info("expired_message_left", job_id=job_id)  # its claim will find the row final
