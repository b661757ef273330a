"""The outbox: messages to the queue or a client, written in the transaction that they announce.

A row is confirmed once it was delivered; maintenance delivers the others. Delivery is therefore at
least once, and every consumer is idempotent by ``natural_key``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Outbox

ENQUEUE = "enqueue"
NOTIFY = "notify"
WEBHOOK = "webhook"  # see db.outbox.webhook_events
MAIL = "mail"  # see db.outbox.mails
# What only maintenance sends, outside of any transaction: the receivers are slow.
LEASED = (WEBHOOK, MAIL)

# The sender delivers a row right after its commit; maintenance waits that long for it.
SENDER_HEAD_START = timedelta(seconds=2)


async def write(
    session: AsyncSession,
    topic: str,
    natural_key: str,
    payload: dict[str, Any],
    due: datetime | None = None,
) -> None:
    """Insert a row; an existing row stays as it is. See ``insertion``."""
    await session.execute(insertion(topic, natural_key, payload, due))


def insertion(
    topic: str, natural_key: str, payload: dict[str, Any], due: datetime | None = None
) -> Insert:
    """Return the statement that inserts a row; an existing row stays as it is.

    ``due`` is when maintenance may deliver it. None gives the sender a moment to deliver it first,
    except for webhooks and mails, which only maintenance sends.
    """
    head_start = timedelta() if topic in LEASED else SENDER_HEAD_START
    return (
        insert(Outbox)
        .values(
            topic=topic,
            natural_key=natural_key,
            payload=payload,
            available_at=func.now() + head_start if due is None else due,
        )
        .on_conflict_do_nothing(index_elements=[Outbox.topic, Outbox.natural_key])
    )


async def write_all(
    session: AsyncSession, rows: Sequence[tuple[str, str, dict[str, Any]]], head_start: timedelta
) -> None:
    """Insert rows (topic, natural key, payload) of which none exists.

    Maintenance waits for the sender to deliver them as long as ``head_start``.
    """
    due = (await session.execute(select(func.now() + head_start))).scalar_one()
    await session.execute(
        insert(Outbox),
        [
            {"topic": topic, "natural_key": key, "payload": payload, "available_at": due}
            for topic, key, payload in rows
        ],
    )


async def confirm(session: AsyncSession, topic: str, natural_key: str) -> None:
    """Mark a row as delivered."""
    await session.execute(
        update(Outbox)
        .where(Outbox.topic == topic, Outbox.natural_key == natural_key, Outbox.done_at.is_(None))
        .values(done_at=func.now())
    )


async def confirm_all(session: AsyncSession, topic: str, natural_keys: Sequence[str]) -> None:
    """Mark rows as delivered."""
    await session.execute(
        update(Outbox)
        .where(
            Outbox.topic == topic, Outbox.natural_key.in_(natural_keys), Outbox.done_at.is_(None)
        )
        .values(done_at=func.now())
    )


async def due(session: AsyncSession, limit: int = 100) -> Sequence[Outbox]:
    """Select rows to deliver now and lock them; other replicas of maintenance skip them.

    Webhooks and mails are not among them: no transaction may wait for their receivers.
    """
    rows = await session.scalars(
        select(Outbox)
        .where(
            Outbox.topic.not_in(LEASED), Outbox.done_at.is_(None), Outbox.available_at <= func.now()
        )
        .order_by(Outbox.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return rows.all()


async def postpone(session: AsyncSession, row: Outbox, delay: timedelta) -> None:
    """Make ``row`` due again after ``delay``."""
    await session.execute(
        update(Outbox)
        .where(Outbox.id == row.id)
        .values(attempts=Outbox.attempts + 1, available_at=func.now() + delay)
    )
