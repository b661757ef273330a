"""Every table, with the constraints that hold the invariants no matter what the code does.

Money rows are integers of credits. Times are timestamptz in UTC. The status of a job moves only
as ``JOB_STATUSES`` says, and only through the guarded UPDATEs in ``db.jobs.transitions``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import DEAD_REASONS as DEAD_REASONS
from db.tables.base import DEAD_RESOLUTIONS as DEAD_RESOLUTIONS
from db.tables.base import FINAL_STATUSES as FINAL_STATUSES
from db.tables.base import JOB_STATUSES as JOB_STATUSES
from db.tables.base import LEDGER_KINDS as LEDGER_KINDS
from db.tables.base import PRIORITIES as PRIORITIES
from db.tables.base import QUEUE_ORDER as QUEUE_ORDER
from db.tables.base import Base as Base
from db.tables.base import one_of as _one_of
from db.tables.ledger import CreditLot as CreditLot
from db.tables.ledger import Entry as Entry
from db.tables.ledger import KeySpending as KeySpending
from db.tables.ledger import LotUse as LotUse
from db.tables.ledger import Transaction as Transaction
from db.tables.operations import AuditLog as AuditLog
from db.tables.operations import GpuStat as GpuStat
from db.tables.operations import JobDocument as JobDocument
from db.tables.payments import Payment as Payment
from db.tables.payments import Reversal as Reversal
from db.tables.payments import StripeCustomer as StripeCustomer
from db.tables.payments import StripeEvent as StripeEvent
from db.tables.payments import Subscription as Subscription
from db.tables.payments import Watermark as Watermark


class User(Base):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("balance >= 0", name="balance_not_negative"),
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("debt >= 0", name="debt_not_negative"),
        # Whoever owes has nothing to spend: what arrives pays the debt first.
        CheckConstraint("debt = 0 OR balance = 0", name="debt_before_balance"),
        CheckConstraint(
            "(low_balance IS NULL) = (low_balance_url IS NULL) AND low_balance > 0",
            name="low_balance_is_told_somewhere",
        ),
        CheckConstraint(_one_of("role", ("user", "admin")), name="role_known"),
        CheckConstraint("email = lower(email)", name="email_lower_case"),
        CheckConstraint("max_waiting_jobs >= 0", name="max_waiting_jobs_not_negative"),
        CheckConstraint("max_running_jobs >= 0", name="max_running_jobs_not_negative"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="user")
    # What the user can spend, what is set aside for unfinished jobs, and what is owed since money
    # went back whose credits were spent. Moved only by billing.ledger, in the transaction that
    # writes the entries they must equal.
    balance: Mapped[int] = mapped_column(BigInteger, server_default="0")
    held: Mapped[int] = mapped_column(BigInteger, server_default="0")
    debt: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    plan: Mapped[str] = mapped_column(server_default="free")  # by its name in billing.plans
    # This user's own limits; null is the plan's.
    max_waiting_jobs: Mapped[int | None]
    max_running_jobs: Mapped[int | None]
    # Below it credits run low, and a webhook goes there.
    low_balance: Mapped[int | None] = mapped_column(BigInteger)
    low_balance_url: Mapped[str | None]


class ApiKey(Base):
    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("monthly_cap >= 0", name="monthly_cap_not_negative"),
        Index("api_keys_by_user", "user_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]  # the last four characters, so that a person can tell keys apart
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    monthly_cap: Mapped[int | None] = mapped_column(BigInteger)  # credits; null is no cap


class RefreshToken(Base):
    """One use each; a second use of the same token revokes its whole family."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("refresh_tokens_by_family", "family_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    family_id: Mapped[str]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(_one_of("status", JOB_STATUSES), name="status_known"),
        CheckConstraint(_one_of("priority", PRIORITIES), name="priority_known"),
        CheckConstraint("credits_held >= 0 AND credits_charged >= 0", name="credits_positive"),
        CheckConstraint("credits_charged <= credits_quoted", name="never_more_than_quoted"),
        # A final job has its hold settled: nothing may stay held.
        CheckConstraint(
            f"NOT ({_one_of('status', FINAL_STATUSES)}) OR credits_held = 0",
            name="final_holds_nothing",
        ),
        CheckConstraint("status <> 'running' OR heartbeat_at IS NOT NULL", name="running_beats"),
        CheckConstraint(
            f"({_one_of('status', FINAL_STATUSES)}) = (finished_at IS NOT NULL)",
            name="finished_when_final",
        ),
        CheckConstraint("deleted_at IS NULL OR finished_at IS NOT NULL", name="deleted_when_final"),
        CheckConstraint("attempt BETWEEN 0 AND 23", name="attempts_bounded"),
        CheckConstraint("losses BETWEEN 0 AND least(attempt, 3)", name="losses_bounded"),
        CheckConstraint("crashes BETWEEN 0 AND losses", name="crashes_are_losses"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress_is_a_fraction"),
        Index("jobs_by_user", "user_id", text("id DESC")),
        Index(
            "jobs_ended_by_user",
            "user_id",
            "finished_at",
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
        Index("jobs_waiting", "generator", "id", postgresql_where=text("status = 'queued'")),
        Index(
            "jobs_waiting_by_user",
            "user_id",
            "generator",
            *(text(part) for part in QUEUE_ORDER),
            "rank",
            "id",
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "jobs_waiting_by_age",
            "priority",
            "created_at",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("jobs_running", "heartbeat_at", postgresql_where=text("status = 'running'")),
        Index("jobs_running_by_user", "user_id", postgresql_where=text("status = 'running'")),
        Index(
            "jobs_parked",
            "user_id",
            "generator",
            postgresql_where=text("status = 'queued' AND parked_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id", ondelete="SET NULL"))
    generator: Mapped[str]
    status: Mapped[str]
    priority: Mapped[str] = mapped_column(server_default="normal")
    input: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    # The fencing token: 0 while first queued, n once attempt n was claimed.
    attempt: Mapped[int] = mapped_column(server_default="0")
    # Attempts lost, not handed back; who has or had the last; losses that ended their process.
    losses: Mapped[int] = mapped_column(server_default="0")
    replica: Mapped[str | None]
    crashes: Mapped[int] = mapped_column(server_default="0")
    # Place among its user's waiting jobs when it was submitted; decides its turn (fairness).
    rank: Mapped[int] = mapped_column(server_default="0")
    progress: Mapped[float] = mapped_column(server_default="0")
    stage: Mapped[str] = mapped_column(server_default="queued")
    cancel_requested_at: Mapped[datetime | None]
    error: Mapped[dict[str, Any] | None]
    outputs: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")
    credits_quoted: Mapped[int] = mapped_column(BigInteger)
    credits_held: Mapped[int] = mapped_column(BigInteger)
    credits_charged: Mapped[int] = mapped_column(BigInteger, server_default="0")
    price_version: Mapped[str]
    quote: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")  # its lines
    # Named so because "metadata" is SQLAlchemy's own attribute.
    user_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", server_default="{}")
    webhook_url: Mapped[str | None]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]  # its content is erased; the row stays for the books
    promoted_at: Mapped[datetime | None]  # it waited so long that it was moved to the front
    # Since when it waits without a message, because its user runs as many jobs as may.
    parked_at: Mapped[datetime | None]


class File(Base):
    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint(_one_of("purpose", ("input", "reference", "output")), name="purpose_known"),
        CheckConstraint("bytes >= 0", name="size_positive"),
        Index("files_by_user", "user_id", text("id DESC")),
        Index("files_by_job", "job_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    purpose: Mapped[str]
    object_key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    content_type: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class Persona(Base):
    """Somebody saved, to be drawn again and again. Deleting one deletes the row."""

    __tablename__ = "personas"
    __table_args__ = (Index("personas_by_user", "user_id", text("id DESC")),)

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    # When, and in which words, the user last said that the person shown agrees.
    consented_at: Mapped[datetime]
    consent: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PersonaFile(Base):
    """A picture of a persona; ``position`` is its place among them, from 0."""

    __tablename__ = "persona_files"
    __table_args__ = (Index("persona_files_by_file", "file_id"),)

    persona_id: Mapped[str] = mapped_column(
        ForeignKey("personas.id", ondelete="CASCADE"), primary_key=True
    )
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id"), primary_key=True)
    position: Mapped[int]


class Outbox(Base):
    """What must be told to the outside once its transaction has committed.

    ``error`` is why the last attempt at a webhook failed; on a row that is done it says that the
    event was given up.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("topic", "natural_key", name="outbox_once"),
        Index("outbox_due", "available_at", postgresql_where=text("done_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topic: Mapped[str]
    natural_key: Mapped[str]
    payload: Mapped[dict[str, Any]]
    attempts: Mapped[int] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    error: Mapped[str | None]


class WebhookSecret(Base):
    """What a user's webhooks are signed with. Kept as it is, since a hash could not sign.

    The one before signs beside it until ``previous_until``.
    """

    __tablename__ = "webhook_secrets"
    __table_args__ = (
        CheckConstraint(
            "(previous IS NULL) = (previous_until IS NULL)", name="previous_has_an_end"
        ),
    )

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    secret: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    previous: Mapped[str | None]
    previous_until: Mapped[datetime | None]


class DeadLetter(Base):
    """A job given up after its replicas were lost; an administrator retries or drops it."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        CheckConstraint(_one_of("reason", DEAD_REASONS), name="reason_known"),
        CheckConstraint(_one_of("resolution", DEAD_RESOLUTIONS), name="resolution_known"),
        CheckConstraint(
            "(resolution IS NULL) = (resolved_at IS NULL)", name="resolved_at_with_resolution"
        ),
        Index("dead_letters_open", text("id DESC"), postgresql_where=text("resolution IS NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    generator: Mapped[str]
    reason: Mapped[str]
    replica: Mapped[str | None]  # the last one that held it: its log says more
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    resolution: Mapped[str | None]
    resolved_at: Mapped[datetime | None]
    # The job that a retry made.
    retried_as: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))


class QueueState(Base):
    """A queue that was paused (no replica takes jobs) or is draining (no job is accepted)."""

    __tablename__ = "queue_states"

    generator: Mapped[str] = mapped_column(primary_key=True)
    paused: Mapped[bool] = mapped_column(server_default="false")
    draining: Mapped[bool] = mapped_column(server_default="false")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IdempotencyKey(Base):
    """The first answer to a POST, given again for the same key and body within a day."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key", name="idempotency_key_once"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str]
    body_hash: Mapped[str]
    resource_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
