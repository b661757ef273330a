"""The outbox: messages to the queue or a client, written in the transaction that they announce.

A row is confirmed once it was delivered; maintenance delivers the others. Delivery is therefore at
least once, and every consumer is idempotent by ``natural_key``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import DateTime, Integer, Interval, Table, bindparam, exists, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.session import Sessions
from db.tables import Outbox

ENQUEUE = "enqueue"
NOTIFY = "notify"
WEBHOOK = "webhook"  # see db.outbox.webhook_events
MAIL = "mail"  # see db.outbox.mails
# What only maintenance sends, outside of any transaction: the receivers are slow.
LEASED = (WEBHOOK, MAIL)

_TABLE = cast("Table", Outbox.__table__)

# The sender delivers a row right after its commit; maintenance waits that long for it.
SENDER_HEAD_START = timedelta(seconds=2)


async def write(
    session: AsyncSession,
    topic: str,
    natural_key: str,
    payload: dict[str, Any],
    due: datetime | None = None,
) -> None:
    """Insert a row; an existing row stays as it is. See ``row``."""
    await session.execute(INSERTION, row(topic, natural_key, payload, due))


# Built once, since every change of a job runs it; it takes what ``row`` returns.
INSERTION = (
    insert(_TABLE)
    .values(
        topic=bindparam("row_topic"),
        natural_key=bindparam("row_key"),
        payload=bindparam("row_payload", type_=JSONB),
        available_at=func.coalesce(
            bindparam("row_due", type_=DateTime(timezone=True)),
            func.now() + bindparam("row_head_start", type_=Interval),
        ),
    )
    .on_conflict_do_nothing(index_elements=[Outbox.topic, Outbox.natural_key])
)


def row(
    topic: str, natural_key: str, payload: dict[str, Any], due: datetime | None = None
) -> dict[str, Any]:
    """Return the parameters of ``INSERTION``.

    ``due`` is when maintenance may deliver it. None gives the sender a moment to deliver it first,
    except for webhooks and mails, which only maintenance sends.
    """
    return {
        "row_topic": topic,
        "row_key": natural_key,
        "row_payload": payload,
        "row_due": due,
        "row_head_start": timedelta() if topic in LEASED else SENDER_HEAD_START,
    }


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


_CONFIRM = (
    update(_TABLE)
    .where(
        _TABLE.c.topic == bindparam("row_topic"),
        _TABLE.c.natural_key == bindparam("row_key"),
        _TABLE.c.done_at.is_(None),
    )
    .values(done_at=func.now())
)


async def confirm(session: AsyncSession, topic: str, natural_key: str) -> None:
    """Mark a row as delivered."""
    await session.execute(_CONFIRM, {"row_topic": topic, "row_key": natural_key})


async def confirm_all(session: AsyncSession, topic: str, natural_keys: Sequence[str]) -> None:
    """Mark rows as delivered."""
    await session.execute(
        update(Outbox)
        .where(
            Outbox.topic == topic, Outbox.natural_key.in_(natural_keys), Outbox.done_at.is_(None)
        )
        .values(done_at=func.now())
    )


_IS_DUE = (Outbox.done_at.is_(None), Outbox.available_at <= func.now())
_IS_ANY_DUE = {
    True: select(exists().where(Outbox.topic == bindparam("topic"), *_IS_DUE)),
    False: select(exists().where(Outbox.topic.not_in(LEASED), *_IS_DUE)),
}


async def is_any_due(sessions: Sessions, topic: str | None = None) -> bool:
    """Whether a row of the topic is to be delivered now; without a topic, one that ``due`` selects.

    Maintenance asks so each second, which costs less than to begin a transaction.
    """
    async with sessions() as session:
        given = {} if topic is None else {"topic": topic}
        return bool(await session.scalar(_IS_ANY_DUE[topic is not None], given))


_DUE = (
    select(Outbox)
    .where(Outbox.topic.not_in(LEASED), *_IS_DUE)
    .order_by(Outbox.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)


async def due(session: AsyncSession, limit: int = 100) -> Sequence[Outbox]:
    """Select rows to deliver now and lock them; other replicas of maintenance skip them.

    Webhooks and mails are not among them: no transaction may wait for their receivers.
    """
    return (await session.scalars(_DUE, {"most": limit})).all()


async def postpone(session: AsyncSession, row: Outbox, delay: timedelta) -> None:
    """Make ``row`` due again after ``delay``."""
    await session.execute(
        update(Outbox)
        .where(Outbox.id == row.id)
        .values(attempts=Outbox.attempts + 1, available_at=func.now() + delay)
    )
