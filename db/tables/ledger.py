"""The tables of the ledger. History is never rewritten: triggers refuse it (migration 0002)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import LEDGER_KINDS, Base, one_of


class Transaction(Base):
    """One movement of credits; its entries sum to zero (checked by trigger at commit)."""

    __tablename__ = "transactions"
    __table_args__ = (
        CheckConstraint(one_of("kind", LEDGER_KINDS), name="kind_known"),
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
    # "user:<id>:available", ":held" or ":debt", or one of the house's: "house:grants",
    # "house:purchases", "house:revenue", "house:expired".
    account: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)


class CreditLot(Base):
    """Credits that expire: part of their user's balance, named by the grant that gave them.

    What is neither ``remaining`` nor ``expired`` nor ``revoked`` was spent on jobs (``lot_uses``).
    """

    __tablename__ = "credit_lots"
    __table_args__ = (
        CheckConstraint(
            "remaining >= 0 AND expired >= 0 AND revoked >= 0"
            " AND remaining + expired + revoked <= granted",
            name="lot_adds_up",
        ),
        Index("credit_lots_open", "user_id", "expires_at", postgresql_where=text("remaining > 0")),
        Index("credit_lots_due", "expires_at", postgresql_where=text("remaining > 0")),
    )

    id: Mapped[str] = mapped_column(ForeignKey("transactions.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    granted: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    expired: Mapped[int] = mapped_column(BigInteger, server_default="0")
    revoked: Mapped[int] = mapped_column(BigInteger, server_default="0")
    expires_at: Mapped[datetime]


class KeySpending(Base):
    """What the jobs of an API key may cost or did cost, by the month they were submitted in."""

    __tablename__ = "key_spending"
    __table_args__ = (CheckConstraint("spent >= 0", name="spent_not_negative"),)

    api_key_id: Mapped[str] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True
    )
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    spent: Mapped[int] = mapped_column(BigInteger)


class LotUse(Base):
    """What a job's hold took out of a lot, and what of it came back."""

    __tablename__ = "lot_uses"
    __table_args__ = (
        CheckConstraint("taken > 0 AND returned BETWEEN 0 AND taken", name="use_adds_up"),
        Index("lot_uses_by_lot", "lot_id"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    lot_id: Mapped[str] = mapped_column(ForeignKey("credit_lots.id"), primary_key=True)
    taken: Mapped[int] = mapped_column(BigInteger)
    returned: Mapped[int] = mapped_column(BigInteger, server_default="0")
