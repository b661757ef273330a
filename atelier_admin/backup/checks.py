"""Is what came back whole? The ledger, the audit log, and each row beside its object."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.reconcile import CHECKS, Difference, reconcile
from db.operations import audit_chain
from db.session import Sessions
from db.tables import File, Job

# Maintenance ends credits whose time is over; it has not run since the backup.
_CHECKS = tuple(one for one in CHECKS if one.name != "lot_overdue")
_OF_ROWS = ("inputs/", "outputs/", "references/")


@dataclass(frozen=True)
class MissingObject:
    """A file in the database whose object is gone; ``job_id`` is None for an upload."""

    key: str
    file_id: str
    job_id: str | None


@dataclass(frozen=True)
class Findings:
    """``without_row`` are keys of objects that no file names: maintenance sweeps them."""

    jobs: int
    files: int
    differences: list[Difference]
    audit_broken_at: int | None
    missing: list[MissingObject]
    without_row: list[str]


async def check(sessions: Sessions, keys: Collection[str]) -> Findings:
    """Check a restored database beside the keys of the objects that are there."""
    async with sessions() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        differences = await reconcile(session, _CHECKS)
        audit = await audit_chain.check(session)
        jobs = await session.scalar(select(func.count()).select_from(Job)) or 0
        rows = await _files(session)
    there = set(keys)
    named = {row.key for row in rows}
    return Findings(
        jobs=jobs,
        files=len(rows),
        differences=differences,
        audit_broken_at=audit.broken_id,
        missing=[row for row in rows if row.key not in there],
        without_row=sorted(k for k in there - named if k.startswith(_OF_ROWS)),
    )


async def content_types(sessions: Sessions) -> dict[str, str]:
    """Return the content type of each file, by the key of its object."""
    async with sessions() as session:
        query = select(File.object_key, File.content_type).where(File.deleted_at.is_(None))
        rows = (await session.execute(query)).all()
    return {row[0]: row[1] for row in rows}


async def _files(session: AsyncSession) -> list[MissingObject]:
    query = select(File.object_key, File.id, File.job_id).where(File.deleted_at.is_(None))
    return [MissingObject(*row) for row in await session.execute(query.order_by(File.object_key))]
