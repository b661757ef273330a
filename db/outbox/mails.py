"""Mails to send: outbox rows with a kind and whom it is for, never the token that the mail brings.

The token is made when the mail is sent, so that it is nowhere in plain text. Rows are leased and
sent outside of any transaction, as webhooks are: ``attempts`` counts leases and fences off expired
holders.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.outbox import rows as outbox
from db.tables import Outbox

# Somebody registered the address; forgot the password; wants the address for an account that has
# another; the account has another address from now on.
REGISTERED = "registered"
RESET = "reset"
NEW_ADDRESS = "new_address"
ADDRESS_CHANGED = "address_changed"
# What was changed of the log-in of an account; its owner is told, wherever it was done.
SecurityKind: TypeAlias = Literal[
    "second_factor_added",
    "second_factor_removed",
    "recovery_code_used",
    "recovery_codes_renewed",
    "codes_guessed",
    "passkey_added",
    "passkey_removed",
]
SECURITY_KINDS: tuple[SecurityKind, ...] = get_args(SecurityKind)
SECOND_FACTOR_ADDED: Final = "second_factor_added"
SECOND_FACTOR_REMOVED: Final = "second_factor_removed"
RECOVERY_CODE_USED: Final = "recovery_code_used"
RECOVERY_CODES_RENEWED: Final = "recovery_codes_renewed"
CODES_GUESSED: Final = "codes_guessed"
PASSKEY_ADDED: Final = "passkey_added"
PASSKEY_REMOVED: Final = "passkey_removed"

# Well above the time for sending and confirming.
LEASE = timedelta(minutes=3)


async def write(
    session: AsyncSession,
    kind: str,
    email: str,
    password_hash: str | None = None,
    user_id: str | None = None,
) -> None:
    """Write a mail in the transaction that it tells of.

    What it says depends on the account, which is looked up when it is sent: so the request does the
    same work for every address. ``password_hash`` is what verifying the address will set,
    ``user_id`` the account that will get the address, or had it, or whose log-in was changed.
    """
    payload: dict[str, Any] = {"kind": kind, "email": email}
    if password_hash is not None:
        payload["password_hash"] = password_hash
    if user_id is not None:
        payload["user_id"] = user_id
    await outbox.write(session, outbox.MAIL, new_id("mail"), payload)


async def lease_due(session: AsyncSession, limit: int) -> Sequence[Outbox]:
    """Lease up to ``limit`` mails that are due, first tries before further ones."""
    due = (
        Outbox.topic == outbox.MAIL,
        Outbox.done_at.is_(None),
        Outbox.available_at <= func.now(),
    )
    ours = (
        select(Outbox.id)
        .where(*due)
        .order_by(Outbox.attempts, Outbox.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = await session.scalars(
        update(Outbox)
        .where(Outbox.id.in_(ours))
        .values(attempts=Outbox.attempts + 1, available_at=func.now() + LEASE)
        .returning(Outbox)
    )
    return rows.all()


async def finish(session: AsyncSession, row: Outbox, error: str | None = None) -> None:
    """Mark the mail as sent or, with ``error``, as given up; whom it was for is forgotten."""
    await session.execute(
        update(Outbox)
        .where(Outbox.id == row.id, Outbox.done_at.is_(None), Outbox.attempts == row.attempts)
        .values(done_at=func.now(), error=error, payload={"kind": row.payload["kind"]})
    )


async def postpone(session: AsyncSession, row: Outbox, delay: timedelta, error: str) -> None:
    """Make the mail due after ``delay``, unless another replica holds the lease now."""
    await session.execute(
        update(Outbox)
        .where(Outbox.id == row.id, Outbox.done_at.is_(None), Outbox.attempts == row.attempts)
        .values(available_at=func.now() + delay, error=error)
    )
