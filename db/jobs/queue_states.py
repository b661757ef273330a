"""Queues that operators have paused or are draining. Postgres has the state, Redis follows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import QueueState


@dataclass(frozen=True)
class QueueStatus:
    """``paused``: no replica takes jobs from the queue. ``draining``: it accepts no new job."""

    paused: bool = False
    draining: bool = False


RUNNING = QueueStatus()


_ALL = select(QueueState.generator, QueueState.paused, QueueState.draining)


async def get(session: AsyncSession, generator: str) -> QueueStatus:
    return (await get_all(session, generator)).get(generator, RUNNING)


async def get_all(session: AsyncSession, generator: str | None = None) -> Mapping[str, QueueStatus]:
    """The queues with a stored state, by generator; all others run."""
    query = _ALL
    if generator is not None:
        query = query.where(QueueState.generator == generator)
    return {
        name: QueueStatus(paused, draining)
        for name, paused, draining in await session.execute(query)
    }


async def save(session: AsyncSession, generator: str, state: QueueStatus) -> None:
    values = {"paused": state.paused, "draining": state.draining, "updated_at": func.now()}
    await session.execute(
        insert(QueueState)
        .values(generator=generator, **values)
        .on_conflict_do_update(index_elements=[QueueState.generator], set_=values)
    )
