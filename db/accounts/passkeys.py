"""Passkeys of users: kept, used under a guard, removed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import Passkey

MAX_PASSKEYS = 20


async def of_user(session: AsyncSession, user_id: str) -> Sequence[Passkey]:
    """List the user's passkeys, oldest first; there are ``MAX_PASSKEYS`` at most."""
    query = select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.id)
    return (await session.scalars(query)).all()


async def by_credential(session: AsyncSession, credential_id: bytes) -> Passkey | None:
    return await session.scalar(select(Passkey).where(Passkey.credential_id == credential_id))


async def add(
    session: AsyncSession,
    user_id: str,
    name: str,
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
) -> Passkey | None:
    """Keep a passkey; returns None if the credential is somebody's already."""
    return await session.scalar(
        insert(Passkey)
        .values(
            id=new_id("psk"),
            user_id=user_id,
            name=name,
            credential_id=credential_id,
            public_key=public_key,
            sign_count=sign_count,
        )
        .on_conflict_do_nothing(index_elements=[Passkey.credential_id])
        .returning(Passkey)
    )


async def use(session: AsyncSession, passkey_id: str, sign_count: int) -> bool:
    """Note a use; returns False if the count is not above the one before, or the passkey is gone.

    An authenticator that does not count says 0 each time.
    """
    counts_up = Passkey.sign_count < sign_count if sign_count else Passkey.sign_count == 0
    used = await session.scalar(
        update(Passkey)
        .where(Passkey.id == passkey_id, counts_up)
        .values(sign_count=sign_count, last_used_at=func.now())
        .returning(Passkey.id)
    )
    return used is not None


async def remove(session: AsyncSession, user_id: str, passkey_id: str) -> bool:
    """Remove a passkey of the user; returns False if there is none such."""
    removed = await session.scalar(
        delete(Passkey)
        .where(Passkey.user_id == user_id, Passkey.id == passkey_id)
        .returning(Passkey.id)
    )
    return removed is not None


async def remove_all(session: AsyncSession, user_id: str) -> int:
    """Remove all passkeys of the user; returns how many."""
    removed = await session.scalars(
        delete(Passkey).where(Passkey.user_id == user_id).returning(Passkey.id)
    )
    return len(removed.all())
