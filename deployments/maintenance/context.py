"""What the keeper's tasks work on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from billing.stripe.gateway import StripeGateway
from db.jobs.queue_order import bullmq_priority
from db.redis.queue import JobQueue
from db.tables import Job
from deployments.settings import SharedSettings
from deployments.stores import Stores

CrashCheck = Callable[[str], Awaitable[bool]]


async def _never_crashed(replica: str) -> bool:
    return False


@dataclass(frozen=True)
class MaintenanceContext:
    """The stores, the queue of every generator served here by generator name, and who can tell
    whether a replica's process has ended (as opposed to its machine, or to being silent)."""

    stores: Stores
    queues: Mapping[str, JobQueue]
    crashed: CrashCheck = field(default=_never_crashed)
    shared: SharedSettings = field(default_factory=SharedSettings)
    stripe: StripeGateway | None = None  # None: nothing is sold here


async def push_job(context: MaintenanceContext, job: Job) -> None:
    """Ask for the next attempt of a queued job; nothing changes if that was asked already.

    Raises:
        StoreUnavailable: Redis did not take it.
    """
    await context.queues[job.generator].push(job.id, job.attempt + 1, bullmq_priority(job))
