"""Queries on users, by id or e-mail address."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import User


async def get(session: AsyncSession, user_id: str) -> User | None:
    return await session.get(User, user_id)


async def by_email(session: AsyncSession, email: str) -> User | None:
    return await session.scalar(select(User).where(User.email == email.lower()))


async def add(
    session: AsyncSession, email: str, password_hash: str, role: str = "user"
) -> User | None:
    """Insert a user; returns None if the address is taken."""
    return await session.scalar(
        insert(User)
        .values(id=new_id("usr"), email=email.lower(), password_hash=password_hash, role=role)
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User)
    )
