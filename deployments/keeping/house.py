"""What the keeper's tasks work on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from db import outbox
from db.queue import JobQueue, priority_of, queue_id
from db.tables import Job
from deployments.settings import SharedSettings
from deployments.stores import Stores

Crashed = Callable[[str], Awaitable[bool]]


async def _nobody_knows(replica: str) -> bool:
    return False


@dataclass(frozen=True)
class House:
    """The stores, the queue of every generator served here by generator name, and who can tell
    whether a replica's process has ended (as opposed to its machine, or to being silent)."""

    stores: Stores
    queues: Mapping[str, JobQueue]
    crashed: Crashed = field(default=_nobody_knows)
    shared: SharedSettings = field(default_factory=SharedSettings)


async def push(house: House, job: Job) -> None:
    """Ask for the next attempt of a queued job; nothing changes if that was asked already.

    Raises:
        StoreUnavailable: Redis did not take it.
    """
    await house.queues[job.generator].push(job.id, job.attempt + 1, place(job))


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
