"""The tables of users, API keys, tokens, counters, files, personas and idempotency keys."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, get_args

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import Base, one_of

# What each may do is said in one place: serve_app.auth.permissions.
Role = Literal["user", "support", "ops", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


class User(Base):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("balance >= 0", name="balance_not_negative"),
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("debt >= 0", name="debt_not_negative"),
        # A user with debt has no balance: arriving credits pay the debt first.
        CheckConstraint("debt = 0 OR balance = 0", name="debt_before_balance"),
        CheckConstraint(
            "(low_balance IS NULL) = (low_balance_url IS NULL) AND low_balance > 0",
            name="low_balance_is_told_somewhere",
        ),
        CheckConstraint(one_of("role", ROLES), name="role_known"),
        CheckConstraint("email = lower(email)", name="email_lower_case"),
        CheckConstraint("max_waiting_jobs >= 0", name="max_waiting_jobs_not_negative"),
        CheckConstraint("max_running_jobs >= 0", name="max_running_jobs_not_negative"),
        CheckConstraint(
            "erased_at IS NULL OR deleted_at IS NOT NULL", name="deleted_before_erased"
        ),
        Index("users_pending", "created_at", postgresql_where=text("pending")),
        Index(
            "users_to_erase",
            "deleted_at",
            postgresql_where=text("deleted_at IS NOT NULL AND erased_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="user")
    # Credits to spend, credits held for unfinished jobs, and debt: payments that went back after
    # their credits were spent. Moved only by billing.ledger, in the transaction that
    # writes the entries they must equal.
    balance: Mapped[int] = mapped_column(BigInteger, server_default="0")
    held: Mapped[int] = mapped_column(BigInteger, server_default="0")
    debt: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    plan: Mapped[str] = mapped_column(server_default="free")  # by its name in billing.plans
    # This user's own limits; null is the plan's.
    max_waiting_jobs: Mapped[int | None]
    max_running_jobs: Mapped[int | None]
    # Below this balance an alert is sent to this address.
    low_balance: Mapped[int | None] = mapped_column(BigInteger)
    low_balance_url: Mapped[str | None]
    # The address is not verified yet: the account cannot log in and has no credits.
    pending: Mapped[bool] = mapped_column(server_default=false())
    # An operator disabled the account: no log-in and no key of it works until it is enabled again.
    disabled_at: Mapped[datetime | None]
    # The owner deleted the account: nobody can use it any more, and maintenance erases it.
    deleted_at: Mapped[datetime | None]
    # All that told of a person is gone; the row stays for the books, under its id alone.
    erased_at: Mapped[datetime | None]


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
    expires_at: Mapped[datetime | None]  # from then on it is refused; null is never
    revoked_at: Mapped[datetime | None]
    monthly_cap: Mapped[int | None] = mapped_column(BigInteger)  # credits; null is no cap


class RefreshToken(Base):
    """A refresh token works once; a second use revokes its whole family."""

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


class AccountToken(Base):
    """A mailed token, which works once: it verifies an address, sets a forgotten password, or
    gives an account another address.

    One that verifies carries the hash of the password given with its registration: whoever else
    registered the address before chooses no password of the owner's account. One that changes the
    address carries the new one.
    """

    __tablename__ = "account_tokens"
    __table_args__ = (
        CheckConstraint(one_of("purpose", ("verify", "reset", "change")), name="purpose_known"),
        CheckConstraint(
            "(purpose = 'verify') = (password_hash IS NOT NULL)", name="verify_sets_password"
        ),
        CheckConstraint("(purpose = 'change') = (email IS NOT NULL)", name="change_sets_email"),
        Index("account_tokens_by_user", "user_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    email: Mapped[str | None]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DailyCounter(Base):
    """What a subject used up on a day (UTC): see ``db.accounts.daily_counters``."""

    __tablename__ = "daily_counters"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class File(Base):
    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint(one_of("purpose", ("input", "reference", "output")), name="purpose_known"),
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


class StorageUse(Base):
    """The bytes of a user's files that are not deleted; written by triggers on ``files`` alone."""

    __tablename__ = "storage_use"

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    bytes: Mapped[int] = mapped_column(BigInteger)


class Persona(Base):
    """A saved person, for use in many jobs. Deleting one deletes the row."""

    __tablename__ = "personas"
    __table_args__ = (Index("personas_by_user", "user_id", text("id DESC")),)

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    # When, and in which words, the user last stated the consent of the person shown.
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


class IdempotencyKey(Base):
    """The resource that a POST created, returned for the same key and body within a day."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key", name="idempotency_key_once"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str]
    body_hash: Mapped[str]
    resource_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
