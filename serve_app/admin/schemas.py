"""What the admin calls take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from billing.plans import PLANS
from db.accounts import users
from db.tables import Role
from serve_app.http.schemas import Body, FutureInstant, View, Whole
from serve_app.jobs.schemas import Status
from serve_app.limits.usage import Used


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
    input: dict[str, Any] | None = Field(
        description="What the job was asked; empty once it was erased, null without the permission "
        "`inputs.read`."
    )
    created_at: datetime
    resolution: str | None = Field(description="`retried`, `dropped`, or null while it is open.")
    resolved_at: datetime | None
    retried_as: str | None = Field(description="The job that the retry made.")


def _check_plan(plan: str) -> str:
    if plan not in PLANS:
        raise PydanticCustomError("unknown_plan", f"must be one of {', '.join(PLANS)}")
    return plan


Bound = Annotated[Whole, Field(ge=0, le=1_000_000)]


class UserLimitsBody(Body):
    """What to change of an account. What is left out stays; a limit of null is the plan's."""

    plan: Annotated[str, AfterValidator(_check_plan)] = Field(default="free", examples=list(PLANS))
    max_waiting_jobs: Bound | None = None
    max_running_jobs: Bound | None = Field(
        default=None, description="Over all generators; with 0 its jobs wait until it is raised."
    )


class GrantBody(Body):
    """Credits to give; those that expire are spent before others."""

    amount: Whole = Field(ge=1, le=10**12)
    reason: str = Field(min_length=1, max_length=200, description="The user reads it.")
    expires_at: FutureInstant | None = None


class RoleBody(Body):
    """The role that the account is to have."""

    role: Role


class AccountSummaryView(View):
    """An account, its plan and its own limits."""

    id: str
    object: Literal["user"] = "user"
    email: str
    role: Role
    state: users.State
    created_at: datetime
    balance: int
    held: int
    debt: int
    plan: str
    max_waiting_jobs: int | None = Field(description="This user's own limit; null: the plan's.")
    max_running_jobs: int | None = Field(description="This user's own limit; null: the plan's.")


class AccountView(AccountSummaryView):
    """An account, its plan, its limits, and what of them is used."""

    waiting: Used
    running: Used


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class IncidentBody(Body):
    """A disturbance, in words that users understand; without ``generator`` it is of all."""

    title: Annotated[Words, Field(max_length=200, examples=["Films wait longer than usual"])]
    generator: str | None = Field(default=None, max_length=64)


class IncidentNoteBody(Body):
    """What is new of it."""

    text: Words


class IncidentNoteView(View):
    """What was told of an incident."""

    text: str
    created_at: datetime


class IncidentView(View):
    """A disturbance as users read of it on ``/status``, with its notes, oldest first."""

    id: str
    title: str
    generator: str | None = Field(description="Null: of all generators.")
    opened_at: datetime
    closed_at: datetime | None
    notes: list[IncidentNoteView]


class AuditEntryView(View):
    """A row of the audit log."""

    id: Annotated[str, BeforeValidator(str)]
    actor: str = Field(description="The id of a user or key, or the name of a command.")
    action: str = Field(examples=["user.grant"])
    subject: str = Field(description="The id of what was changed, or the name of a queue.")
    detail: dict[str, Any]
    created_at: datetime
    hash: str = Field(description="SHA-256 of the row and of the hash of the row before it.")


class AdminJobView(View):
    """A job as staff see it: its course and cost, without input and outputs."""

    id: str
    user_id: str
    api_key_id: str | None
    generator: str
    status: Status
    stage: str
    progress: float
    priority: str
    attempt: int
    losses: int
    crashes: int
    error: dict[str, Any] | None
    credits_quoted: int
    credits_charged: int
    batch_id: str | None
    request_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deferred_at: datetime | None = Field(description="Since when it waits for the user's limit.")


class GpuStatView(View):
    """The memory of one replica at one moment, in bytes; counts are since it started.

    `card_*` are of its GPU and of all programs on it; null is not known, as on a CPU."""

    generator: str
    replica: str
    device: str
    allocated_bytes: int
    reserved_bytes: int
    peak_bytes: int
    budget_bytes: int = Field(description="What its models may use.")
    plans: dict[str, str] = Field(description="The memory plan of each loaded model.")
    loads: int
    evictions: int
    ooms: int
    card_utilization: float | None = Field(
        description="The share (0 to 1) of the last second in which it computed."
    )
    card_temperature_celsius: int | None
    card_used_bytes: int | None
    card_total_bytes: int | None
    sampled_at: datetime


class GpuStatsView(View):
    """``series`` is null where no `since` was given."""

    newest: list[GpuStatView]
    series: list[GpuStatView] | None
