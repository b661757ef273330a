"""The rows of stored files, reached through their owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import File


async def get_owned(session: AsyncSession, file_id: str, user_id: str) -> File | None:
    """The file, unless it is somebody else's or was deleted."""
    found = await find_owned(session, [file_id], user_id)
    return found.get(file_id)


async def find_owned(
    session: AsyncSession, file_ids: Iterable[str], user_id: str
) -> dict[str, File]:
    """Those of the files that are there and the user's, by id."""
    query = select(File).where(
        File.id.in_(list(file_ids)), File.user_id == user_id, File.deleted_at.is_(None)
    )
    return {file.id: file for file in await session.scalars(query)}


async def of_job(session: AsyncSession, job_id: str) -> Sequence[File]:
    """What came with a job, and what it made."""
    query = select(File).where(File.job_id == job_id, File.deleted_at.is_(None))
    return (await session.scalars(query)).all()


async def page(
    session: AsyncSession, user_id: str, purpose: str | None, after: str | None, limit: int
) -> Sequence[File]:
    """The user's files, newest first, those behind the id ``after``."""
    query = select(File).where(File.user_id == user_id, File.deleted_at.is_(None))
    if purpose is not None:
        query = query.where(File.purpose == purpose)
    if after is not None:
        query = query.where(File.id < after)
    return (await session.scalars(query.order_by(File.id.desc()).limit(limit))).all()


async def mark_deleted(session: AsyncSession, file_id: str, user_id: str) -> bool:
    """Whether there was such a file. Its object is the caller's to erase, afterwards."""
    gone = await session.scalar(
        update(File)
        .where(File.id == file_id, File.user_id == user_id, File.deleted_at.is_(None))
        .values(deleted_at=func.now())
        .returning(File.id)
    )
    return gone is not None
