"""Outbox rows that failed: given up, or tried in vain so far. For operators."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.outbox.rows import WEBHOOK
from db.tables import Outbox

# Tried this often without a success, a row that is not given up deserves a look, too.
MANY_ATTEMPTS = 3

_FAILED = or_(
    and_(Outbox.done_at.is_not(None), Outbox.error.is_not(None)),
    and_(Outbox.done_at.is_(None), Outbox.attempts >= MANY_ATTEMPTS),
)
# A webhook that was given up is sent once more; a mail is not: whom it was for is forgotten.
_CAN_BE_SENT = and_(_FAILED, or_(Outbox.done_at.is_(None), Outbox.topic == WEBHOOK))


async def page(session: AsyncSession, topic: str | None, limit: int) -> Sequence[Outbox]:
    """List up to ``limit`` failed rows, newest first, of one topic (None: any)."""
    query = select(Outbox).where(_FAILED).order_by(Outbox.id.desc()).limit(limit)
    if topic is not None:
        query = query.where(Outbox.topic == topic)
    return (await session.scalars(query)).all()


async def can_retry(session: AsyncSession, row_id: int) -> bool:
    """Whether ``retry`` would make the row due."""
    query = select(Outbox.id).where(Outbox.id == row_id, _CAN_BE_SENT)
    return await session.scalar(query) is not None


async def retry(session: AsyncSession, row_id: int) -> Outbox | None:
    """Make a failed row due now; returns None if it cannot be sent again."""
    return await session.scalar(
        update(Outbox)
        .where(Outbox.id == row_id, _CAN_BE_SENT)
        .values(done_at=None, error=None, available_at=func.now())
        .returning(Outbox)
    )
