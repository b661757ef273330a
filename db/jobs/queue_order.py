"""A queued job's priority in BullMQ, and the message and outbox row of its next attempt."""

from __future__ import annotations

from typing import Any

from db.outbox.rows import ENQUEUE
from db.redis.queue import message_id, priority_of
from db.tables import Job


def bullmq_priority(job: Job) -> int:
    """The job's priority number in BullMQ; the lowest number is served first."""
    if job.promoted_at is not None:
        return priority_of("high", 0)
    return priority_of(job.priority, job.rank)


def next_message_id(job: Job) -> str:
    """The name of the message that starts a queued job's next attempt."""
    return message_id(job.id, job.attempt + 1)


def enqueue_row(job: Job) -> tuple[str, str, dict[str, Any]]:
    """The topic, natural key and payload of the outbox row for a job's next attempt."""
    payload = {
        "job_id": job.id,
        "generator": job.generator,
        "attempt": job.attempt + 1,
        "priority": bullmq_priority(job),
    }
    return ENQUEUE, next_message_id(job), payload
