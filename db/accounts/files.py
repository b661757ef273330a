"""Queries on stored files; each names the owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import File


async def get_owned(session: AsyncSession, file_id: str, user_id: str) -> File | None:
    """Return the user's file; None if it belongs to another user or was deleted."""
    owned = await find_owned(session, [file_id], user_id)
    return owned.get(file_id)


async def find_owned(
    session: AsyncSession, file_ids: Iterable[str], user_id: str
) -> dict[str, File]:
    """Return those of the files that exist and belong to the user, by id."""
    query = select(File).where(
        File.id.in_(list(file_ids)), File.user_id == user_id, File.deleted_at.is_(None)
    )
    return {file.id: file for file in await session.scalars(query)}


async def of_job(session: AsyncSession, job_id: str) -> Sequence[File]:
    """List the files that came with a job and those it made."""
    query = select(File).where(File.job_id == job_id, File.deleted_at.is_(None))
    return (await session.scalars(query)).all()


async def page(
    session: AsyncSession, user_id: str, purpose: str | None, after: str | None, limit: int
) -> Sequence[File]:
    """List the user's files, newest first, older than the id ``after``."""
    query = select(File).where(File.user_id == user_id, File.deleted_at.is_(None))
    if purpose is not None:
        query = query.where(File.purpose == purpose)
    if after is not None:
        query = query.where(File.id < after)
    return (await session.scalars(query.order_by(File.id.desc()).limit(limit))).all()


async def mark_deleted(session: AsyncSession, file_id: str, user_id: str) -> bool:
    """Mark a file as deleted; returns False if there is none. The caller then erases its object."""
    deleted_id = await session.scalar(
        update(File)
        .where(File.id == file_id, File.user_id == user_id, File.deleted_at.is_(None))
        .values(deleted_at=func.now())
        .returning(File.id)
    )
    return deleted_id is not None
