"""The message of a queued job's next attempt, and the outbox row that asks for it."""

from __future__ import annotations

from typing import Any

from db.outbox.rows import ENQUEUE
from db.redis.queue import message_id
from db.tables import Job


def next_message_id(job: Job) -> str:
    """The name of the message that starts a queued job's next attempt."""
    return message_id(job.id, job.attempt + 1)


def enqueue_row(job: Job) -> tuple[str, str, dict[str, Any]]:
    """The topic, natural key and payload of the outbox row for a job's next attempt."""
    payload = {
        "job_id": job.id,
        "generator": job.generator,
        "attempt": job.attempt + 1,
        "queue_tag": job.queue_tag,
    }
    return ENQUEUE, next_message_id(job), payload
