"""Usage: ended jobs and their credits by day (UTC), generator and API key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import Date, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Job

GROUPS = ("day", "generator", "key")


@dataclass(frozen=True)
class UsageRow:
    """Jobs that ended and their credits; a column that is not grouped by is None."""

    day: date | None
    generator: str | None
    api_key_id: str | None
    jobs: int
    succeeded: int
    failed: int
    canceled: int
    credits: int


async def usage(
    session: AsyncSession, user_id: str, first: date, last: date, by: Collection[str]
) -> Sequence[UsageRow]:
    """Return the usage of jobs that ended on the days ``first`` to ``last``, both included."""
    columns: dict[str, Any] = {
        "day": cast(func.timezone("UTC", Job.finished_at), Date),
        "generator": Job.generator,
        "key": Job.api_key_id,
    }
    chosen = [columns[name] for name in GROUPS if name in by]
    counted = [
        func.count(),
        *(
            func.count().filter(Job.status == status)
            for status in ("succeeded", "failed", "canceled")
        ),
        func.coalesce(func.sum(Job.credits_charged), 0),
    ]
    rows = await session.execute(
        select(*chosen, *counted)
        .where(
            Job.user_id == user_id,
            Job.finished_at >= datetime.combine(first, time(), UTC),
            Job.finished_at <= datetime.combine(last, time.max, UTC),  # to the microsecond
        )
        .group_by(*chosen)
        .order_by(*chosen)
    )
    usage_rows = []
    for row in rows:
        named = dict(zip([name for name in GROUPS if name in by], row, strict=False))
        counts = [int(count) for count in row[len(chosen) :]]
        if counts[0]:  # without groups there is always a row
            usage_rows.append(
                UsageRow(named.get("day"), named.get("generator"), named.get("key"), *counts)
            )
    return usage_rows
