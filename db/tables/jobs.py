"""The tables of jobs: the job, its dead letter, the state and the clock of each queue.

``JOB_STATUSES`` says which moves of a status exist; ``db.jobs.transitions`` makes them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import (
    DEAD_REASONS,
    DEAD_RESOLUTIONS,
    FINAL_STATUSES,
    JOB_STATUSES,
    PRIORITIES,
    Base,
    one_of,
)

# For the order of ``db.jobs.fair_queue.BY_AGE``. Alembic compares indexes by their columns, so the
# collation stands where SQLAlchemy writes an operator class.
BYTEWISE_ID = {"id": 'COLLATE "C"'}
# The metadata under the user's id, so that each value of each user is an entry of its own in the
# index: what others call their jobs costs nobody anything. ``jsonb_build_object`` is not immutable.
OWN_METADATA = "jsonb_set('{}'::jsonb, ARRAY[user_id], metadata)"
HAS_METADATA = "metadata <> '{}'::jsonb"


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(one_of("status", JOB_STATUSES), name="status_known"),
        CheckConstraint(one_of("priority", PRIORITIES), name="priority_known"),
        CheckConstraint("credits_held >= 0 AND credits_charged >= 0", name="credits_positive"),
        CheckConstraint("credits_charged <= credits_quoted", name="never_more_than_quoted"),
        # A final job has its hold settled: nothing may stay held.
        CheckConstraint(
            f"NOT ({one_of('status', FINAL_STATUSES)}) OR credits_held = 0",
            name="final_holds_nothing",
        ),
        CheckConstraint("status <> 'running' OR heartbeat_at IS NOT NULL", name="running_beats"),
        CheckConstraint(
            f"({one_of('status', FINAL_STATUSES)}) = (finished_at IS NOT NULL)",
            name="finished_when_final",
        ),
        CheckConstraint("deleted_at IS NULL OR finished_at IS NOT NULL", name="deleted_when_final"),
        CheckConstraint("attempt BETWEEN 0 AND 23", name="attempts_bounded"),
        CheckConstraint("losses BETWEEN 0 AND least(attempt, 3)", name="losses_bounded"),
        CheckConstraint("crashes BETWEEN 0 AND losses", name="crashes_are_losses"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress_is_a_fraction"),
        CheckConstraint("(batch_id IS NULL) = (batch_line IS NULL)", name="batch_with_line"),
        CheckConstraint("queue_tag >= 0 AND queue_cost >= 0", name="queue_tag_positive"),
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
            "priority",
            "id",
            postgresql_ops=BYTEWISE_ID,
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "jobs_waiting_by_tag",
            "user_id",
            "generator",
            "priority",
            "queue_tag",
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "jobs_waiting_by_age",
            "priority",
            "created_at",
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "jobs_by_batch",
            "batch_id",
            "batch_line",
            unique=True,
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        Index(
            "jobs_by_metadata",
            literal_column(OWN_METADATA).label("own_metadata"),
            postgresql_using="gin",
            postgresql_ops={"own_metadata": "jsonb_path_ops"},
            postgresql_where=text(HAS_METADATA),
        ),
        Index(
            "jobs_by_result",
            "user_id",
            "result_key",
            "finished_at",
            postgresql_where=text("result_key IS NOT NULL"),
        ),
        Index(
            "jobs_to_cancel",
            "cancel_at",
            postgresql_where=text("cancel_at IS NOT NULL AND finished_at IS NULL"),
        ),
        Index("jobs_running", "heartbeat_at", postgresql_where=text("status = 'running'")),
        Index("jobs_running_by_user", "user_id", postgresql_where=text("status = 'running'")),
        Index(
            "jobs_deferred",
            "user_id",
            "generator",
            "priority",
            "id",
            postgresql_ops=BYTEWISE_ID,
            postgresql_where=text("status = 'queued' AND deferred_at IS NOT NULL"),
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
    # How many attempts were lost (drained ones are not); how many of these crashed their process;
    # ``replica`` runs the job, or ran its last attempt.
    losses: Mapped[int] = mapped_column(server_default="0")
    replica: Mapped[str | None]
    crashes: Mapped[int] = mapped_column(server_default="0")
    # In virtual time (``db.jobs.fair_queue``): the waiting job with the lowest tag is next.
    queue_tag: Mapped[int] = mapped_column(BigInteger, server_default="0")
    queue_cost: Mapped[int] = mapped_column(BigInteger, server_default="0")
    progress: Mapped[float] = mapped_column(server_default="0")
    stage: Mapped[str] = mapped_column(server_default="queued")
    cancel_requested_at: Mapped[datetime | None]
    # When it is canceled unless it has ended: its owner has no use for it afterwards.
    cancel_at: Mapped[datetime | None]
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
    # The batch that it came with, and its line there, from 1.
    batch_id: Mapped[str | None] = mapped_column(ForeignKey("batches.id"))
    batch_line: Mapped[int | None]
    # The span of the request that submitted it, if spans are recorded (W3C trace context).
    traceparent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]  # its content is erased; the row stays for the books
    # Of a job that made all that was asked for, until it is erased: what its result depends on
    # (``deployments.result_key``).
    result_key: Mapped[str | None]
    # The job whose outputs were copied in place of running this one; it may be erased since.
    cached_from: Mapped[str | None]
    # Since when it waits without a message, because its user runs as many jobs as may.
    deferred_at: Mapped[datetime | None]


class DeadLetter(Base):
    """A job given up after its replicas were lost; an administrator retries or drops it."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        CheckConstraint(one_of("reason", DEAD_REASONS), name="reason_known"),
        CheckConstraint(one_of("resolution", DEAD_RESOLUTIONS), name="resolution_known"),
        CheckConstraint(
            "(resolution IS NULL) = (resolved_at IS NULL)", name="resolved_at_with_resolution"
        ),
        Index("dead_letters_open", text("id DESC"), postgresql_where=text("resolution IS NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    generator: Mapped[str]
    reason: Mapped[str]
    replica: Mapped[str | None]  # the last replica; its log says more
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


class QueueClock(Base):
    """The highest tag of a job of this user that was started in a queue.

    The highest of a generator is the virtual time of its queue.
    """

    __tablename__ = "queue_clocks"
    __table_args__ = (Index("queue_clocks_by_tag", "generator", "tag"),)

    generator: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    tag: Mapped[int] = mapped_column(BigInteger)
