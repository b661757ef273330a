"""How many bytes a user's files take: those that were uploaded, and those that jobs made.

Triggers on ``files`` count them in the transaction that moves the rows (migration 0031), so that
nothing that writes a file can forget to. Whoever has inserted one holds the counter's row until the
end of their transaction, and reads there what all others before them have come to.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import StorageUse


def used_by(user_id: str | ColumnElement[str]) -> ScalarSelect[int]:
    """Return an expression for the bytes of the user's files."""
    found = select(StorageUse.bytes).where(StorageUse.user_id == user_id).scalar_subquery()
    return select(func.coalesce(found, 0)).scalar_subquery()


async def used(session: AsyncSession, user_id: str) -> int:
    """Return the bytes of the user's files."""
    return int(await session.scalar(select(used_by(user_id))) or 0)
