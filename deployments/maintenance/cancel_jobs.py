"""Cancel jobs whose time is up, and those of canceled batches and of deleted accounts."""

from __future__ import annotations

import asyncio

from sqlalchemy import exists, or_, select

from db.accounts import erasure
from db.jobs import batches, queries
from db.tables import Batch, Job, User
from deployments.maintenance.context import MaintenanceContext
from deployments.messaging.cancellation import cancel_job

AT_ONCE = 8
LIMIT = 200


# One question each second, which mostly is all.
_IS_ANY = select(
    or_(
        exists().where(*queries.OVERDUE),
        exists().where(Batch.id == Job.batch_id, *batches.TO_CANCEL),
        exists().where(User.id == Job.user_id, *erasure.JOBS_TO_CANCEL),
    )
)


async def cancel_jobs(context: MaintenanceContext) -> int:
    """Cancel until there is nothing left to cancel; returns how many jobs."""
    canceled = 0
    stores, gate = context.stores, asyncio.Semaphore(AT_ONCE)

    async def cancel(job: Job) -> None:
        async with gate:
            await cancel_job(stores.sessions, stores.redis, context.queues, job)

    while True:
        async with stores.statements() as session:
            if not await session.scalar(_IS_ANY):
                return canceled
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
