"""The message that a queued job waits for: the keeper asks for it, and a replica that must go."""

from __future__ import annotations

from typing import Any

import structlog

from db import outbox
from db.engine import Sessions
from db.queue import JobQueue, priority_of, queue_id
from db.tables import Job
from deployments.patience import STORE_DOWN

log = structlog.get_logger(__name__)


def place(job: Job) -> int:
    """Where in its queue the job belongs, as BullMQ counts."""
    if job.promoted_at is not None:
        return priority_of("high", 0)
    return priority_of(job.priority, job.rank)


def next_message(job: Job) -> str:
    """The name of the message that a queued job waits for."""
    return queue_id(job.id, job.attempt + 1)


def enqueue_row(job: Job) -> tuple[str, str, dict[str, Any]]:
    """Topic, natural key and payload of the outbox row that asks for a job's next attempt."""
    payload = {
        "job_id": job.id,
        "generator": job.generator,
        "attempt": job.attempt + 1,
        "priority": place(job),
    }
    return outbox.ENQUEUE, next_message(job), payload


async def ask(sessions: Sessions, queue: JobQueue, job: Job) -> None:
    """Push the message of a queued job whose outbox row was committed, and confirm the row.

    What fails here stays in the outbox, and the keeper does it.
    """
    try:
        await queue.push(job.id, job.attempt + 1, place(job))
        async with sessions.begin() as session:
            await outbox.confirm(session, outbox.ENQUEUE, next_message(job))
    except STORE_DOWN as error:
        log.info("next_attempt_left_to_relay", job_id=job.id, error=type(error).__name__)
