"""Back into the queue with a job whose replica must go, and with what it has kept so far.

The generator has been stopped. Whoever takes the next attempt goes on from what is in the bucket;
of a zombie of this one the fencing token says the rest.
"""

from __future__ import annotations

import asyncio

import structlog

from billing import concurrency, ledger
from db.jobs import queries
from db.jobs.queue_order import bullmq_priority, enqueue_row, next_message_id
from db.jobs.transitions import requeue_drained
from db.outbox import rows as outbox
from db.redis.queue import JobQueue
from db.session import Sessions
from db.tables import Job
from deployments.messaging.job_events import publish, status_event
from deployments.messaging.retry import STORE_DOWN, retry_while_unavailable
from deployments.stores import Stores
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext
from deployments.worker.inputs import save_kept_files
from deployments.worker.outputs import STORE_TIMEOUT_S

SAVE_TIMEOUT_S = 5.0  # half of what a replica leaves itself for handing back


log = structlog.get_logger(__name__)


async def requeue_drained_job(stores: Stores, job: Job, context: RunContext) -> bool:
    """Queue ``job`` again for its next attempt; False if its owner has asked to cancel it.

    Raises:
        AttemptLost: the row had moved on; nothing was changed.
        StoreUnavailable: Postgres stayed down; the lease will run out.
    """
    await _save_kept_files(stores, job, context)
    now = await retry_while_unavailable(
        "hand back", lambda: _requeue_row(stores, job), STORE_TIMEOUT_S
    )
    if now is None or now.attempt != job.attempt:
        raise AttemptLost(job.id)
    if now.status == "running" and now.cancel_requested_at is not None:
        return False
    if now.status != "queued":
        raise AttemptLost(job.id)
    log.info("job_handed_back", progress=context.state[0])
    await publish(stores.redis, job.id, status_event("queued", job.attempt))
    await push_next_attempt(stores.sessions, JobQueue(stores.redis, job.generator), now)
    return True


async def _save_kept_files(stores: Stores, job: Job, context: RunContext) -> None:
    try:
        async with asyncio.timeout(SAVE_TIMEOUT_S):
            await save_kept_files(stores, job, context)
    except TimeoutError:
        log.warning("not_kept", error="TimeoutError")


async def _requeue_row(stores: Stores, job: Job) -> Job | None:
    """The row as it now is."""
    async with stores.sessions.begin() as session:
        # Before the job's row: whoever is just being parked for want of room must hear of this one.
        await ledger.lock_user(session, job.user_id)
        given = await requeue_drained(session, job.id, job.attempt)
        if given is not None:
            await outbox.write(session, *enqueue_row(given))
            await concurrency.resume_deferred(session, job.user_id)
        # A commit whose answer got lost in an outage finds nothing to move the second time.
        return given or await queries.get(session, job.id)


async def push_next_attempt(sessions: Sessions, queue: JobQueue, job: Job) -> None:
    """Push the message of a queued job whose outbox row was committed, and confirm the row.

    What fails here stays in the outbox, and the keeper does it.
    """
    try:
        await queue.push(job.id, job.attempt + 1, bullmq_priority(job))
        async with sessions.begin() as session:
            await outbox.confirm(session, outbox.ENQUEUE, next_message_id(job))
    except STORE_DOWN as error:
        log.info("next_attempt_left_to_relay", job_id=job.id, error=type(error).__name__)
