"""Samples of the memory of replicas, one row each, kept for a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import GpuStat

KEPT = timedelta(days=7)
# A sample deletes at most so many old rows: more than it adds, but never a long transaction.
DELETED_AT_ONCE = 500


async def add(
    session: AsyncSession, generator: str, replica: str, sample: Mapping[str, Any]
) -> None:
    """Insert a sample, whose keys are columns of ``gpu_stats``; delete rows older than a week."""
    await session.execute(insert(GpuStat).values(generator=generator, replica=replica, **sample))
    old = (
        select(GpuStat.id)
        .where(GpuStat.sampled_at < func.now() - KEPT)
        .order_by(GpuStat.sampled_at)
        .limit(DELETED_AT_ONCE)
        # Replicas sample at the same moment, so each deletes other rows.
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(GpuStat).where(GpuStat.id.in_(old.scalar_subquery())))


async def newest(
    session: AsyncSession, generator: str | None, since: datetime
) -> Sequence[GpuStat]:
    """Return the newest sample of each replica that took one since then."""
    query = _samples(generator, since).ext(distinct_on(GpuStat.generator, GpuStat.replica))
    ordered = query.order_by(GpuStat.generator, GpuStat.replica, GpuStat.sampled_at.desc())
    return (await session.scalars(ordered)).all()


async def series(
    session: AsyncSession, generator: str | None, since: datetime, step: timedelta
) -> Sequence[GpuStat]:
    """Return the samples since then, oldest first: of each replica the last of every ``step``."""
    slot = func.date_bin(step, GpuStat.sampled_at, since)
    replica = (GpuStat.generator, GpuStat.replica)
    query = _samples(generator, since).ext(distinct_on(*replica, slot))
    thinned = query.order_by(*replica, slot, GpuStat.sampled_at.desc())
    rows = (await session.scalars(thinned)).all()
    return sorted(rows, key=lambda row: row.sampled_at)


def _samples(generator: str | None, since: datetime) -> Select[GpuStat]:
    query = select(GpuStat).where(GpuStat.sampled_at >= since)
    return query if generator is None else query.where(GpuStat.generator == generator)
