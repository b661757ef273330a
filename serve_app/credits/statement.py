"""The movements of credits, in pages and as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.read_replica import ReadSessions
from db.tables import Entry, Transaction

COLUMNS = (
    "id", "created_at", "user_id", "kind", "amount", "balance_change", "job_id", "reason",
)  # fmt: skip
BATCH_SIZE = 1000
# A spreadsheet reads text that begins with one of these as a formula.
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class StatementFilter:
    """Selects movements: of a user (None: of all), from ``since`` to before ``until``."""

    user_id: str | None
    kind: str | None = None
    job_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class StatementLine:
    """A movement; ``balance_change`` is the change of its user's balance."""

    id: str
    user_id: str
    kind: str
    amount: int
    balance_change: int
    job_id: str | None
    reason: str
    created_at: datetime


async def get_lines(
    session: AsyncSession, selection: StatementFilter, after: str | None, limit: int
) -> Sequence[StatementLine]:
    """Read up to ``limit`` movements, newest first, older than the id ``after``."""
    change = (
        select(func.coalesce(func.sum(Entry.amount), 0))
        .where(
            Entry.transaction_id == Transaction.id,
            Entry.account == func.concat("user:", Transaction.user_id, ":available"),
        )
        .scalar_subquery()
    )
    query = select(
        Transaction.id, Transaction.user_id, Transaction.kind, Transaction.amount, change,
        Transaction.job_id, Transaction.reason, Transaction.created_at,
    ).order_by(Transaction.id.desc()).limit(limit)  # fmt: skip
    for column, value in (
        (Transaction.user_id, selection.user_id),
        (Transaction.kind, selection.kind),
        (Transaction.job_id, selection.job_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if selection.since is not None:
        query = query.where(Transaction.created_at >= selection.since)
    if selection.until is not None:
        query = query.where(Transaction.created_at < selection.until)
    if after is not None:
        query = query.where(Transaction.id < after)
    return [
        StatementLine(line_id, user_id, kind, amount, int(changed), job_id, reason, created_at)
        for line_id, user_id, kind, amount, changed, job_id, reason, created_at in (
            await session.execute(query)
        )
    ]


async def as_csv(reading: ReadSessions, selection: StatementFilter) -> AsyncIterator[str]:
    """Yield the CSV file, newest first; holds one page in memory at a time."""
    yield _row(COLUMNS)
    after: str | None = None
    while True:
        page = await reading(partial(get_lines, selection=selection, after=after, limit=BATCH_SIZE))
        for line in page:
            yield _row([_cell(getattr(line, column)) for column in COLUMNS])
        if len(page) < BATCH_SIZE:
            return
        after = page[-1].id


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_PREFIXES) else text


def _row(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
