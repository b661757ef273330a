"""Cancel jobs whose time is up, and those of canceled batches and of deleted accounts."""

from __future__ import annotations

import asyncio

from db.accounts import erasure
from db.jobs import batches, queries
from db.tables import Job
from deployments.maintenance.context import MaintenanceContext
from deployments.messaging.cancellation import cancel_job

AT_ONCE = 8
LIMIT = 200


async def cancel_jobs(context: MaintenanceContext) -> int:
    """Cancel until there is nothing left to cancel; returns how many jobs."""
    canceled = 0
    stores, gate = context.stores, asyncio.Semaphore(AT_ONCE)

    async def cancel(job: Job) -> None:
        async with gate:
            await cancel_job(stores.sessions, stores.redis, context.queues, job)

    while True:
        async with stores.sessions() as session:
            jobs = [
                *await queries.find_overdue(session, LIMIT),
                *await batches.find_to_cancel(session, LIMIT),
                *await erasure.find_jobs_to_cancel(session, LIMIT),
            ]
        if not jobs:
            return canceled
        several = {job.id: job for job in jobs}  # one may be there for two reasons
        await asyncio.gather(*map(cancel, several.values()))
        canceled += len(several)
