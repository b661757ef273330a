"""Queue a job again because its replica drains, with the files its generator has kept so far.

The generator has been stopped. The next attempt goes on from the kept files in the bucket; the
fencing token rejects every later write of this attempt.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from billing import concurrency, job_policy, ledger
from db.errors import StoreUnavailable
from db.jobs import queries
from db.jobs.queue_messages import enqueue_row
from db.jobs.transitions import requeue_drained
from db.outbox import rows as outbox
from db.redis.queue import JobQueue
from db.tables import Job
from deployments.messaging.job_events import publish, status_event
from deployments.messaging.next_attempt import push_next_attempt
from deployments.retry import retry_while_unavailable
from deployments.stores import Stores
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext
from deployments.worker.inputs import save_kept_files
from deployments.worker.metadata import tell_metadata
from deployments.worker.outputs import STORE_TIMEOUT_S

SAVE_TIMEOUT_S = 5.0  # half of host.REQUEUE_MARGIN_S


log = structlog.get_logger(__name__)


async def requeue_drained_job(stores: Stores, job: Job, context: RunContext) -> bool:
    """Queue ``job`` for its next attempt. Returns False if its owner asked to cancel it meanwhile.

    Raises:
        AttemptLost: the row is no longer this attempt's; nothing was changed.
        StoreUnavailable: Postgres stayed down; the lease will expire.
    """
    await _save_kept_files(stores, job, context)
    row = await retry_while_unavailable(
        "requeue", lambda: _requeue_row(stores, job), STORE_TIMEOUT_S
    )
    if row is None or row.attempt != job.attempt:
        raise AttemptLost(job.id)
    if row.status == "running" and row.cancel_requested_at is not None:
        return False
    if row.status != "queued":
        raise AttemptLost(job.id)
    log.info("job_handed_back", progress=context.state[0])
    context.add_line(f"the worker shuts down: attempt {job.attempt + 1} goes on", "warning")
    with suppress(StoreUnavailable):
        await tell_metadata(stores, job, context)
    await publish(stores.redis, job.id, status_event("queued", job.attempt))
    await push_next_attempt(stores.sessions, JobQueue(stores.redis, job.generator), row)
    return True


async def _save_kept_files(stores: Stores, job: Job, context: RunContext) -> None:
    try:
        async with asyncio.timeout(SAVE_TIMEOUT_S):
            await save_kept_files(stores, job, context)
    except TimeoutError:
        log.warning("not_kept", error="TimeoutError")


async def _requeue_row(stores: Stores, job: Job) -> Job | None:
    """Move the row to "queued" if it is this attempt's; returns the row as it is afterwards."""
    async with stores.sessions.begin() as session:
        # The user's row before the job's: a claim that is deferring another job of the user at this
        # moment waits for the lock, and sees the slot that becomes free.
        await ledger.lock_user(session, job.user_id)
        requeued = await requeue_drained(
            session, job.id, job.attempt, max_requeues=job_policy.MAX_DRAIN_REQUEUES
        )
        if requeued is not None:
            await outbox.write(session, *enqueue_row(requeued))
            await concurrency.resume_deferred(session, job.user_id)
        # If the answer to a commit was lost in an outage, the repeated UPDATE matches nothing.
        return requeued or await queries.get(session, job.id)
