"""Count the credits that the ledger moves, by kind of movement."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from db.after_commit import after_commit
from metrics import catalog
from metrics.labels import LABELS


def start_counts() -> None:
    """Show the counters at zero, so that the first movement of a process is an increase."""
    for movement in LABELS["movement"].values:
        catalog.CREDITS.start(movement=movement)


def count_credits(session: AsyncSession, kind: str, amount: int) -> None:
    """Count a movement once its transaction has committed."""
    after_commit(session, lambda: catalog.CREDITS.inc(amount, movement=kind))
