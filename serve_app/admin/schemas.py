"""What the admin calls take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from serve_app.bodies import View


class QueueStateView(View):
    """A generator's queue. ``waiting``, ``active`` and ``replicas`` are null when they cannot be
    read now."""

    generator: str
    waiting: int | None
    active: int | None
    replicas: int | None
    paused: bool = Field(description="No replica takes jobs; new ones are accepted and wait.")
    draining: bool = Field(description="New jobs are refused; those that wait are done.")


class DeadLetterView(View):
    """A job that was given up because the replicas that ran it were lost."""

    id: str
    job_id: str
    user_id: str
    generator: str
    reason: str = Field(
        description="`worker_lost`: its replicas went away three times. `quarantined`: it ended "
        "the process of its replica twice, the second time alone."
    )
    replica: str | None = Field(description="The last one that held it, as `actor@node`.")
    attempts: int
    crashes: int
    input: dict[str, Any] = Field(description="What the job was asked; empty once it was erased.")
    created_at: datetime
    resolution: str | None = Field(description="`retried`, `dropped`, or null while it is open.")
    resolved_at: datetime | None
    retried_as: str | None = Field(description="The job that the retry made.")
