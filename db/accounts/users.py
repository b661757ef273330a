"""Queries on users, by id or e-mail address."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import Exists, and_, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import Role, Transaction, User

State = Literal["active", "pending", "disabled", "deleted", "erased"]

# A pending account has no owner yet, a deleted one has none any more.
_CAN_LOG_IN = (~User.pending, User.disabled_at.is_(None), User.deleted_at.is_(None))
# Whose keys and tokens work.
IS_OPEN = and_(User.disabled_at.is_(None), User.deleted_at.is_(None))


def is_open(user: User) -> bool:
    """Return whether keys and tokens of the account work."""
    return user.disabled_at is None and user.deleted_at is None


def state(user: User) -> State:
    """Return what has become of the account."""
    if user.erased_at is not None:
        return "erased"
    if user.deleted_at is not None:
        return "deleted"
    if user.disabled_at is not None:
        return "disabled"
    return "pending" if user.pending else "active"


@dataclass(frozen=True)
class AccountFilter:
    """Which accounts to list: whose address has a part, with a role, only the disabled ones."""

    email: str | None = None
    role: Role | None = None
    disabled: bool = False


async def page(
    session: AsyncSession, which: AccountFilter, after: str | None, limit: int
) -> Sequence[User]:
    """List accounts that are not erased, newest first, older than the id ``after``."""
    query = select(User).where(User.erased_at.is_(None))
    if which.email:
        query = query.where(User.email.contains(which.email.lower(), autoescape=True))
    if which.role is not None:
        query = query.where(User.role == which.role)
    if which.disabled:
        query = query.where(User.disabled_at.is_not(None))
    if after is not None:
        query = query.where(User.id < after)
    return (await session.scalars(query.order_by(User.id.desc()).limit(limit))).all()


async def get(session: AsyncSession, user_id: str) -> User | None:
    return await session.get(User, user_id)


async def by_email(session: AsyncSession, email: str) -> User | None:
    return await session.scalar(select(User).where(User.email == email.lower()))


async def add(
    session: AsyncSession,
    email: str,
    password_hash: str,
    role: str = "user",
    *,
    pending: bool = False,
) -> User | None:
    """Insert a user; returns None if the address is taken."""
    return await session.scalar(
        insert(User)
        .values(
            id=new_id("usr"),
            email=email.lower(),
            password_hash=password_hash,
            role=role,
            pending=pending,
        )
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User)
    )


async def activate(session: AsyncSession, user_id: str, password_hash: str) -> bool:
    """Let a pending user log in by this password; returns False if the user is not pending."""
    activated_id = await session.scalar(
        update(User)
        .where(User.id == user_id, User.pending)
        .values(pending=False, password_hash=password_hash)
        .returning(User.id)
    )
    return activated_id is not None


async def disable(session: AsyncSession, user_id: str, among: Collection[Role]) -> bool:
    """Shut an account with a role of ``among``; returns False if it was disabled or deleted before,
    or has another role."""
    disabled_id = await session.scalar(
        update(User)
        .where(User.id == user_id, User.role.in_(among), IS_OPEN)
        .values(disabled_at=func.now())
        .returning(User.id)
    )
    return disabled_id is not None


async def enable(session: AsyncSession, user_id: str, among: Collection[Role]) -> bool:
    """Open a disabled account with a role of ``among``; returns False if it is not disabled, or has
    another role."""
    enabled_id = await session.scalar(
        update(User)
        .where(
            User.id == user_id,
            User.role.in_(among),
            User.disabled_at.is_not(None),
            User.deleted_at.is_(None),
        )
        .values(disabled_at=None)
        .returning(User.id)
    )
    return enabled_id is not None


async def lock_roles(
    session: AsyncSession, user_ids: Collection[str], *, exclusive: bool = False
) -> Mapping[str, Role]:
    """Return the roles of those accounts that are open, which stay so until the transaction ends.

    The rows are locked in the order of their ids, so that two who lock the same ones do not wait
    for each other. With ``exclusive`` no other transaction has one of them at the same time.
    """
    query = select(User.id, User.role, IS_OPEN.label("is_open")).where(User.id.in_(user_ids))
    locked = query.order_by(User.id).with_for_update(read=not exclusive)
    rows = await session.execute(locked)
    return {row.id: row.role for row in rows if row.is_open}


async def set_role(session: AsyncSession, user_id: str, role: Role) -> Role | None:
    """Give an account a role; returns the one before, None if it had it, or was deleted."""
    # Locked, so that it is the role before even where two change it at the same moment. A key that
    # is just being made for the account is waited for, too: its foreign key holds the row.
    before: Role | None = await session.scalar(
        select(User.role)
        .where(User.id == user_id, User.role != role, User.deleted_at.is_(None))
        .with_for_update()
    )
    if before is not None:
        await session.execute(update(User).where(User.id == user_id).values(role=role))
    return before


async def set_password(session: AsyncSession, user_id: str, password_hash: str) -> None:
    await session.execute(
        update(User).where(User.id == user_id).values(password_hash=password_hash)
    )


async def replace_password(
    session: AsyncSession, user_id: str, old_hash: str, new_hash: str
) -> bool:
    """Set a new password in the place of the old one; returns False if that is no longer set."""
    replaced = await session.scalar(
        update(User)
        .where(User.id == user_id, User.password_hash == old_hash, *_CAN_LOG_IN)
        .values(password_hash=new_hash)
        .returning(User.id)
    )
    return replaced is not None


async def lock_password(session: AsyncSession, user_id: str, password_hash: str) -> bool:
    """Keep the password until the transaction ends; returns False if it is another one by now."""
    query = select(User.id).where(
        User.id == user_id, User.password_hash == password_hash, *_CAN_LOG_IN
    )
    return await session.scalar(query.with_for_update(read=True)) is not None


async def lock_open(session: AsyncSession, user_id: str, *, exclusive: bool = False) -> User | None:
    """Return the user, who can log in until the transaction ends; None if that is not so.

    With ``exclusive`` no other transaction has this lock at the same time.
    """
    query = select(User).where(User.id == user_id, *_CAN_LOG_IN)
    return await session.scalar(query.with_for_update(read=not exclusive))


async def change_email(session: AsyncSession, user_id: str, email: str) -> bool:
    """Give an account another address; returns False if another account has it.

    An account that waits for that address to be verified gives way: it has no owner.
    """
    email = email.lower()
    try:
        async with session.begin_nested():
            await session.execute(
                delete(User).where(User.email == email, User.pending, ~_has_movements())
            )
            changed_id = await session.scalar(
                update(User)
                .where(User.id == user_id, *_CAN_LOG_IN)
                .values(email=email)
                .returning(User.id)
            )
    except IntegrityError:
        return False
    return changed_id is not None


async def delete_pending(session: AsyncSession, older_than: timedelta) -> int:
    """Delete users who never verified their address, unless credits were moved for them."""
    deleted = await session.scalars(
        delete(User)
        .where(
            User.pending,
            User.created_at < func.now() - older_than,
            ~_has_movements(),
        )
        .returning(User.id)
    )
    return len(deleted.all())


def _has_movements() -> Exists:
    return exists().where(Transaction.user_id == User.id)
