"""Deleted accounts, and the erasure of all rows that tell of their owner.

What stays is kept because the law asks for it: the ledger, payments, the rows of jobs with what
they cost, and who consented to pictures when. They name the account by its id, which is then a
pseudonym: no row leads from it to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.jobs import transitions
from db.outbox import rows as outbox
from db.outbox import webhook_events
from db.tables import (
    AccountToken,
    ApiKey,
    Batch,
    File,
    IdempotencyKey,
    Job,
    Outbox,
    Passkey,
    Persona,
    RecoveryCode,
    RefreshToken,
    StorageUse,
    TotpFactor,
    User,
    WebhookSecret,
)

# Documents, previews and events of a job may come as late as this after its end.
LATE = timedelta(days=2)
# The domain never exists (RFC 2606).
_DOMAIN = "erased.invalid"
_DELETED = (User.deleted_at.is_not(None), User.erased_at.is_(None))


async def mark_deleted(session: AsyncSession, user_id: str, password_hash: str) -> bool:
    """Mark the account as deleted; returns False if that is no longer its password."""
    deleted_id = await session.scalar(
        update(User)
        .where(User.id == user_id, User.password_hash == password_hash, User.deleted_at.is_(None))
        .values(deleted_at=func.now(), low_balance=None, low_balance_url=None)
        .returning(User.id)
    )
    return deleted_id is not None


async def find_deleted(session: AsyncSession, limit: int) -> Sequence[str]:
    """List deleted users who are not erased yet, and have no job that waits or runs."""
    unfinished = exists().where(Job.user_id == User.id, Job.finished_at.is_(None))
    query = select(User.id).where(*_DELETED, ~unfinished).order_by(User.deleted_at).limit(limit)
    return (await session.scalars(query)).all()


# Of a job and its user.
JOBS_TO_CANCEL = (*_DELETED, Job.finished_at.is_(None), Job.cancel_requested_at.is_(None))


async def find_jobs_to_cancel(session: AsyncSession, limit: int) -> Sequence[Job]:
    """List jobs of deleted users that wait or run, and were not asked to stop yet."""
    query = (
        select(Job)
        .join(User, User.id == Job.user_id)
        .where(*JOBS_TO_CANCEL)
        .order_by(Job.id.desc())
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def jobs_with_content(
    session: AsyncSession, user_id: str, after: str, limit: int
) -> Sequence[str]:
    """List jobs behind the id ``after`` that are not erased, or ended so lately that something
    may still come of them."""
    recent = Job.finished_at > func.now() - LATE
    query = select(Job.id).where(
        Job.user_id == user_id, Job.id > after, or_(Job.deleted_at.is_(None), recent)
    )
    return (await session.scalars(query.order_by(Job.id).limit(limit))).all()


async def erase_rows(session: AsyncSession, user_id: str) -> None:
    """Delete the user's rows, and blank those that the books need. May be called again."""
    email = await session.scalar(select(User.email).where(User.id == user_id))
    await transitions.erase_of_user(session, user_id)
    await session.execute(update(Batch).where(Batch.user_id == user_id).values(webhook_url=None))
    # Kept as rows: jobs name them, and what they spent must add up.
    await session.execute(update(ApiKey).where(ApiKey.user_id == user_id).values(name="", hint=""))
    # Personas before files, which they refer to.
    # The count of their bytes after the files, whose deletion changes it.
    for table in (
        Persona,
        File,
        StorageUse,
        IdempotencyKey,
        WebhookSecret,
        RefreshToken,
        AccountToken,
        TotpFactor,
        RecoveryCode,
        Passkey,
    ):
        await session.execute(delete(table).where(table.user_id == user_id))
    await webhook_events.delete_of_user(session, user_id)
    await session.execute(
        delete(Outbox).where(
            Outbox.topic == outbox.MAIL,
            or_(
                Outbox.payload["user_id"].astext == user_id,
                func.lower(Outbox.payload["email"].astext) == email,
            ),
        )
    )


async def finish(session: AsyncSession, user_id: str, quiet: timedelta) -> bool:
    """End the erasure: the address becomes free. Returns False if it is too early.

    It is once ``quiet`` has passed since the deletion and since the last job ended: until then a
    request that was let in before, or a replica that only seemed lost, may still write something.
    """
    recent_job = exists().where(
        Job.user_id == User.id,
        or_(Job.finished_at.is_(None), Job.finished_at > func.now() - quiet),
    )
    erased_id = await session.scalar(
        update(User)
        .where(User.id == user_id, *_DELETED, User.deleted_at <= func.now() - quiet, ~recent_job)
        .values(
            email=func.lower(User.id) + f"@{_DOMAIN}",
            password_hash="",
            role="user",
            max_waiting_jobs=None,
            max_running_jobs=None,
            erased_at=func.now(),
        )
        .returning(User.id)
    )
    return erased_id is not None
