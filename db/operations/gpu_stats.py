"""Samples of the memory of replicas, one row each, kept for a week."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select
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
