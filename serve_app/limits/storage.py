"""The storage quota: how many bytes of files a user may have kept, by plan.

It is checked where something begins: an upload, the end of a direct upload, a persona's copies and
a submit. What a job makes is kept whatever it comes to.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import plans
from db.accounts import storage
from db.tables import User
from serve_app.http.errors import StorageQuotaExceeded
from serve_app.settings import LimitSettings


def quota_of(limits: LimitSettings, plan: str) -> int | None:
    """Return the bytes that a user of the plan may have; None is no bound."""
    return limits.storage_quotas.get(plan if plan in plans.PLANS else plans.DEFAULT.name)


def check_room_for_outputs(limits: LimitSettings, plan: str, used: int) -> None:
    """Raise StorageQuotaExceeded if the user's files take all of the quota already."""
    quota = quota_of(limits, plan)
    if quota is not None and used >= quota:
        raise StorageQuotaExceeded(used=used, quota=quota)


async def check_room_for_copies(session: AsyncSession, limits: LimitSettings, user_id: str) -> None:
    """Raise StorageQuotaExceeded for results to copy as ``check_room_for_outputs`` does."""
    if limits.storage_quotas:
        columns = select(User.plan, storage.used_by(user_id)).where(User.id == user_id)
        check_room_for_outputs(limits, *(await session.execute(columns)).one())


async def check_room_for_file(
    session: AsyncSession, limits: LimitSettings, user_id: str, size: int
) -> None:
    """Raise StorageQuotaExceeded if a file of ``size`` bytes, not inserted yet, would be too much.

    Others may insert theirs meanwhile; it spares the bytes of a file that is refused in the end.
    """
    await _check(session, limits, user_id, before=0, size=size)


async def check_inserted(
    session: AsyncSession, limits: LimitSettings, user_id: str, size: int
) -> None:
    """Raise StorageQuotaExceeded if the files of this transaction, ``size`` bytes, are too much.

    It is exact: their rows are inserted, so this transaction holds the counter until it ends, and
    whoever comes next waits and reads what it left.
    """
    await _check(session, limits, user_id, before=size, size=size)


async def _check(
    session: AsyncSession, limits: LimitSettings, user_id: str, *, before: int, size: int
) -> None:
    """``before`` are the bytes of the ``size`` that are counted already."""
    if not limits.storage_quotas or not size:
        return
    columns = select(User.plan, storage.used_by(user_id)).where(User.id == user_id)
    plan, counted = (await session.execute(columns)).one()
    quota, used = quota_of(limits, plan), counted - before
    if quota is not None and used + size > quota:
        raise StorageQuotaExceeded(used=used, quota=quota)
