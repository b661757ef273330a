"""The message that a queued job waits for: the keeper asks for it, and a replica that must go."""

from __future__ import annotations

import structlog

from db.jobs.queue_order import bullmq_priority, next_message_id
from db.outbox import rows as outbox
from db.redis.queue import JobQueue
from db.session import Sessions
from db.tables import Job
from deployments.messaging.retry import STORE_DOWN

log = structlog.get_logger(__name__)


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
