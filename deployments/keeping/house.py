"""What the keeper's tasks work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db import outbox
from db.queue import JobQueue, priority_of, queue_id
from db.tables import Job
from deployments.stores import Stores


@dataclass(frozen=True)
class House:
    """The stores, and the queue of every generator served here, by generator name."""

    stores: Stores
    queues: Mapping[str, JobQueue]


async def push(house: House, job: Job) -> None:
    """Ask for the next attempt of a queued job; nothing changes if that was asked already.

    Raises:
        StoreUnavailable: Redis did not take it.
    """
    queue = house.queues[job.generator]
    await queue.push(job.id, job.attempt + 1, priority_of(job.priority, job.rank))


def next_message(job: Job) -> str:
    """The name of the message that a queued job waits for."""
    return queue_id(job.id, job.attempt + 1)


def enqueue_row(job: Job) -> tuple[str, str, dict[str, Any]]:
    """Topic, natural key and payload of the outbox row that asks for a job's next attempt."""
    payload = {
        "job_id": job.id,
        "generator": job.generator,
        "attempt": job.attempt + 1,
        "priority": priority_of(job.priority, job.rank),
    }
    return outbox.ENQUEUE, next_message(job), payload
