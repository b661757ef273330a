"""Running jobs whose replica has gone silent: another attempt, or the end.

A job ends after the third attempt that was lost, and after the second one that ended its replica's
process: what is tried again after that runs alone in its replica, so the second time leaves no
doubt. Either way it becomes a dead letter.
"""

from __future__ import annotations

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import concurrency, ledger
from billing.settlement import Settlement, settle
from db.jobs import dead_letters, queries, transitions
from db.jobs.queue_order import enqueue_row
from db.outbox import rows as outbox
from db.tables import Job
from deployments.maintenance.context import MaintenanceContext
from deployments.messaging.job_events import publish, publish_done, status_event
from deployments.worker import failures
from deployments.worker.requeue import push_next_attempt

log = structlog.get_logger(__name__)


async def recover_lost_jobs(context: MaintenanceContext) -> int:
    """Give back or end every running job without a lease; returns how many."""
    async with context.stores.sessions() as session:
        found = await queries.find_lost(session)
    recovered = 0
    for job in found:
        crashed = job.replica is not None and await context.crashed(job.replica)
        blamed = job.crashes + crashed >= transitions.MAX_CRASHES
        if (
            job.losses + 1 >= transitions.MAX_LOSSES
            or blamed
            or job.cancel_requested_at is not None
        ):
            recovered += await _settle_lost(
                context, job, crashed, "quarantined" if blamed else "worker_lost"
            )
        else:
            recovered += await _requeue(context, job, crashed)
    return recovered


async def _requeue(context: MaintenanceContext, lost: Job, crashed: bool) -> bool:
    async with context.stores.sessions.begin() as session:
        await ledger.lock_user(session, lost.user_id)
        job = await transitions.requeue_lost(session, lost.id, lost.attempt, crashed=crashed)
        if job is None:
            return False
        await outbox.write(session, *enqueue_row(job))
        await concurrency.resume_deferred(session, job.user_id)
    log.warning("attempt_given_back", job_id=job.id, attempt=job.attempt, crashed=crashed)
    await publish(context.stores.redis, job.id, status_event("queued", job.attempt))
    queue = context.queues.get(job.generator)
    if queue is not None:  # else no longer served: the row waits until it is, or the job expires
        await push_next_attempt(context.stores.sessions, queue, job)
    return True


async def _settle_lost(context: MaintenanceContext, lost: Job, crashed: bool, reason: str) -> bool:
    async with context.stores.sessions.begin() as session:
        # Whoever touches money takes the user's row before the job's.
        await ledger.lock_user(session, lost.user_id)
        job = await _still_lost(session, lost)
        if job is None:
            return False
        if job.cancel_requested_at is not None:
            ending = Settlement("canceled", charged_fraction=job.progress)
        elif reason == "quarantined":
            ending = Settlement("failed", error=failures.quarantined())
        else:
            ending = Settlement("failed", error=failures.worker_lost(job.losses + 1))
        ended = await settle(session, job, ending)
        if ended is not None:
            ended.losses += 1
            ended.crashes += crashed
        if ended is not None and ended.status == "failed":
            await dead_letters.add(session, ended, reason)
    if ended is None:
        return False
    log.warning("lost_job_ended", job_id=ended.id, status=ended.status, reason=reason)
    await publish_done(context.stores.redis, context.stores.sessions, ended)
    return True


async def _still_lost(session: AsyncSession, lost: Job) -> Job | None:
    """The row, locked, if its replica has not come back to life meanwhile."""
    return await session.scalar(
        select(Job)
        .where(
            Job.id == lost.id,
            Job.status == "running",
            Job.attempt == lost.attempt,
            Job.heartbeat_at < func.now() - transitions.LEASE,
        )
        .with_for_update()
    )
