"""The stores, queues and settings that every maintenance task gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from billing.stripe.gateway import StripeGateway
from db.redis.queue import JobQueue
from db.tables import Job
from deployments.messaging.mail import Mailer
from deployments.settings import SharedSettings
from deployments.stores import Stores

CrashCheck = Callable[[str], Awaitable[bool]]


async def _never_crashed(replica: str) -> bool:
    return False


@dataclass(frozen=True)
class MaintenanceContext:
    """``queues`` has the queue of every served generator by name.

    ``crashed`` says whether a replica's process ended while its node is alive.
    """

    stores: Stores
    queues: Mapping[str, JobQueue]
    crashed: CrashCheck = field(default=_never_crashed)
    shared: SharedSettings = field(default_factory=SharedSettings)
    stripe: StripeGateway | None = None  # None: billing is disabled
    mailer: Mailer | None = None  # None: no mails are sent
    mail_link_url: str | None = None


async def push_job(context: MaintenanceContext, job: Job) -> None:
    """Push the message of a queued job's next attempt; a second push changes nothing.

    Raises:
        StoreUnavailable: Redis did not take the message.
    """
    await context.queues[job.generator].push(job.id, job.attempt + 1, job.queue_tag)
