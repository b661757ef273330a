"""Recover running jobs whose replica sends no heartbeat: start another attempt, or end the job.

A job ends with the third lost attempt, or with the second that crashed its replica's process. After
the first crash the job runs alone in its replica, so that a second crash has no other cause. A job
that ends here becomes a dead letter. The numbers are in ``billing.job_policy``.
"""

from __future__ import annotations

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import concurrency, job_policy, ledger
from billing.settlement import Settlement, settle
from db.jobs import dead_letters, queries, transitions
from db.jobs.queue_messages import enqueue_row
from db.outbox import rows as outbox
from db.tables import Job
from deployments.maintenance.context import MaintenanceContext
from deployments.messaging.job_events import publish, publish_done, status_event
from deployments.messaging.job_reports import keep_told, tell_of_loss
from deployments.messaging.next_attempt import push_next_attempt
from deployments.worker import failures

log = structlog.get_logger(__name__)


async def recover_lost_jobs(context: MaintenanceContext) -> int:
    """Queue again, or end, every running job whose lease has expired; returns how many."""
    async with context.stores.statements() as session:
        lost = await queries.find_lost(session, job_policy.LEASE)
    recovered = 0
    for job in lost:
        crashed = job.replica is not None and await context.crashed(job.replica)
        quarantined = job.crashes + crashed >= job_policy.MAX_CRASHES
        if (
            job.losses + 1 >= job_policy.MAX_LOSSES
            or quarantined
            or job.cancel_requested_at is not None
        ):
            recovered += await _settle_lost(
                context, job, crashed, "quarantined" if quarantined else "worker_lost"
            )
        else:
            recovered += await _requeue(context, job, crashed)
    return recovered


async def _requeue(context: MaintenanceContext, lost: Job, crashed: bool) -> bool:
    async with context.stores.sessions.begin() as session:
        await ledger.lock_user(session, lost.user_id)
        job = await transitions.requeue_lost(
            session,
            lost.id,
            lost.attempt,
            lease=job_policy.LEASE,
            max_losses=job_policy.MAX_LOSSES,
            crashed=crashed,
        )
        if job is None:
            return False
        await outbox.write(session, *enqueue_row(job))
        await concurrency.resume_deferred(session, job.user_id)
    log.warning("attempt_given_back", job_id=job.id, attempt=job.attempt, crashed=crashed)
    told = f"attempt {job.attempt} was lost with its worker; attempt {job.attempt + 1} follows"
    await tell_of_loss(context.stores.redis, job, told)
    await publish(context.stores.redis, job.id, status_event("queued", job.attempt))
    queue = context.queues.get(job.generator)
    if queue is not None:  # without a queue the generator is not served now: the row waits
        await push_next_attempt(context.stores.sessions, queue, job)
    return True


async def _settle_lost(context: MaintenanceContext, lost: Job, crashed: bool, reason: str) -> bool:
    async with context.stores.sessions.begin() as session:
        # Every transaction that books credits locks the user's row before the job's.
        await ledger.lock_user(session, lost.user_id)
        job = await _still_lost(session, lost)
        if job is None:
            return False
        if job.cancel_requested_at is not None:
            settlement = Settlement("canceled", charged_fraction=job.progress)
        elif reason == "quarantined":
            settlement = Settlement("failed", error=failures.quarantined())
        else:
            settlement = Settlement("failed", error=failures.worker_lost(job.losses + 1))
        ended = await settle(session, job, settlement)
        if ended is not None:
            ended.losses += 1
            ended.crashes += crashed
        if ended is not None and ended.status == "failed":
            await dead_letters.add(session, ended, reason)
    if ended is None:
        return False
    log.warning("lost_job_ended", job_id=ended.id, status=ended.status, reason=reason)
    told = f"attempt {ended.attempt} was lost with its worker; the job is {ended.status}"
    await tell_of_loss(context.stores.redis, ended, told, "error")
    await keep_told(context.stores.redis, context.stores.documents, ended)
    await publish_done(context.stores.redis, context.stores.statements, ended)
    return True


async def _still_lost(session: AsyncSession, lost: Job) -> Job | None:
    """Lock and return the row, if its heartbeat is still too old."""
    return await session.scalar(
        select(Job)
        .where(
            Job.id == lost.id,
            Job.status == "running",
            Job.attempt == lost.attempt,
            Job.heartbeat_at < func.now() - job_policy.LEASE,
        )
        .with_for_update()
    )
