"""The tables of second factors: apps that show codes, recovery codes, and passkeys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import Base


class TotpFactor(Base):
    """An app that shows codes (RFC 6238). Until it is confirmed no log-in asks for it."""

    __tablename__ = "totp_factors"
    __table_args__ = (CheckConstraint("failures >= 0", name="failures_not_negative"),)

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    sealed_secret: Mapped[bytes]  # see serve_app.auth.sealed_secrets
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    # The time step of the code that was used last; neither it nor an older one works again.
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    # Guesses since the last right code. They are counted here, beside the failed attempts in Redis:
    # a code has six digits, and a count that is forgotten would give them away.
    failures: Mapped[int] = mapped_column(server_default="0")
    blocked_until: Mapped[datetime | None]


class RecoveryCode(Base):
    """Stands in for a code of the app, once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("recovery_codes_by_user", "user_id", "code_hash", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    code_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]


class Passkey(Base):
    """A credential of WebAuthn, which logs in without a password."""

    __tablename__ = "passkeys"
    __table_args__ = (
        CheckConstraint("sign_count >= 0", name="sign_count_not_negative"),
        Index("passkeys_by_user", "user_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]  # as COSE writes it
    # How often the authenticator says that it signed; many always say 0.
    sign_count: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
