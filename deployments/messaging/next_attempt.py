"""Push the message of a job that was queued again; its outbox row is the safety net."""

from __future__ import annotations

import structlog

from db.jobs.queue_messages import next_message_id
from db.outbox import rows as outbox
from db.redis.queue import JobQueue
from db.session import Sessions
from db.tables import Job
from deployments.retry import STORE_DOWN

log = structlog.get_logger(__name__)


async def push_next_attempt(sessions: Sessions, queue: JobQueue, job: Job) -> None:
    """Push the message of a queued job whose outbox row was committed, then confirm the row.

    If a store is down, the row stays in the outbox and maintenance delivers it.
    """
    try:
        await queue.push(job.id, job.attempt + 1, job.queue_tag)
        async with sessions.begin() as session:
            await outbox.confirm(session, outbox.ENQUEUE, next_message_id(job))
    except STORE_DOWN as error:
        log.info("next_attempt_left_to_relay", job_id=job.id, error=type(error).__name__)
