"""Where a waiting job stands in its queue, and the message that it waits for."""

from __future__ import annotations

from typing import Any

from db.outbox.rows import ENQUEUE
from db.redis.queue import message_id, priority_of
from db.tables import Job


def bullmq_priority(job: Job) -> int:
    """Where in its queue the job belongs, as BullMQ counts."""
    if job.promoted_at is not None:
        return priority_of("high", 0)
    return priority_of(job.priority, job.rank)


def next_message_id(job: Job) -> str:
    """The name of the message that a queued job waits for."""
    return message_id(job.id, job.attempt + 1)


def enqueue_row(job: Job) -> tuple[str, str, dict[str, Any]]:
    """Topic, natural key and payload of the outbox row that asks for a job's next attempt."""
    payload = {
        "job_id": job.id,
        "generator": job.generator,
        "attempt": job.attempt + 1,
        "priority": bullmq_priority(job),
    }
    return ENQUEUE, next_message_id(job), payload
