"""Every table, with the constraints that hold the invariants no matter what the code does.

Money rows are integers of credits. Times are timestamptz in UTC. The status of a job moves only
as ``JOB_STATUSES`` says, and only through the guarded UPDATEs in ``db.jobs``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

JOB_STATUSES = (
    "queued",  # submit -> ; an attempt was lost (keeper) or handed back (runner): running -> queued
    "running",  # runner, by claim: queued -> running
    "succeeded",  # runner, by settle: running -> succeeded
    "failed",  # runner or keeper: running -> failed; keeper, expired: queued -> failed
    "canceled",  # cancel: queued -> canceled; runner: running -> canceled
)
FINAL_STATUSES = ("succeeded", "failed", "canceled")
PRIORITIES = ("high", "normal", "low")
DEAD_REASONS = (
    "worker_lost",  # its replicas went away three times
    "quarantined",  # it ended the process of its replica twice
)
DEAD_RESOLUTIONS = ("retried", "dropped")
LEDGER_KINDS = (
    "grant",
    "purchase",
    "hold",
    "capture",
    "release",
    "refund",
    "claw_back",
    "expire",
)


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class attribute
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        str: Text,
        int: Integer,
        float: Double,
        bool: Boolean,
    }


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(v) for v in values)})"


class User(Base):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("balance >= 0", name="balance_not_negative"),
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint(_one_of("role", ("user", "admin")), name="role_known"),
        CheckConstraint("email = lower(email)", name="email_lower_case"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="user")
    # What the user can spend, and what is set aside for unfinished jobs. Moved only by
    # billing.ledger, in the transaction that writes the entries they must equal.
    balance: Mapped[int] = mapped_column(BigInteger, server_default="0")
    held: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKey(Base):
    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_by_user", "user_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]  # the last four characters, so that a person can tell keys apart
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


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
        Index("jobs_waiting", "generator", "id", postgresql_where=text("status = 'queued'")),
        Index(
            "jobs_waiting_by_user",
            "user_id",
            "generator",
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "jobs_waiting_by_age",
            "priority",
            "created_at",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("jobs_running", "heartbeat_at", postgresql_where=text("status = 'running'")),
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


class Transaction(Base):
    """One movement of credits; its entries sum to zero (checked by trigger at commit)."""

    __tablename__ = "transactions"
    __table_args__ = (
        CheckConstraint(_one_of("kind", LEDGER_KINDS), name="kind_known"),
        Index("transactions_by_user", "user_id", text("id DESC")),
        Index("transactions_by_job", "job_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    natural_key: Mapped[str] = mapped_column(unique=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Entry(Base):
    __tablename__ = "entries"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount_not_zero"),
        Index("entries_by_transaction", "transaction_id"),
        Index("entries_by_account", "account"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    transaction_id: Mapped[str] = mapped_column(ForeignKey("transactions.id"))
    # "user:<id>:available", "user:<id>:held", or one of the house's: "house:grants",
    # "house:revenue", "house:purchases".
    account: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)


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


class JobDocument(Base):
    """Job metadata where no MongoDB is configured; see db.documents."""

    __tablename__ = "job_metadata"

    job_id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GpuStat(Base):
    """A replica's memory at one moment; counts are since the replica started. Kept for a week."""

    __tablename__ = "gpu_stats"
    __table_args__ = (
        Index("gpu_stats_by_time", "generator", "sampled_at"),
        Index("gpu_stats_by_age", "sampled_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    generator: Mapped[str]
    replica: Mapped[str]
    device: Mapped[str]
    allocated_bytes: Mapped[int] = mapped_column(BigInteger)
    reserved_bytes: Mapped[int] = mapped_column(BigInteger)
    peak_bytes: Mapped[int] = mapped_column(BigInteger)
    budget_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    # The memory plan of each loaded model, by its key.
    plans: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    loads: Mapped[int] = mapped_column(server_default="0")
    evictions: Mapped[int] = mapped_column(server_default="0")
    ooms: Mapped[int] = mapped_column(server_default="0")
    sampled_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditLog(Base):
    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_by_subject", "subject", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
