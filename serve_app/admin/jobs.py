"""Jobs of users, for staff: cancel one, or have it made again in its owner's name."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import users
from db.jobs import queries
from db.operations import audit_log
from db.tables import Job, User
from deployments.messaging.cancellation import cancel_job
from serve_app.admin.access import check_reach
from serve_app.auth.api_keys import USER_SCOPES
from serve_app.auth.identity import Identity
from serve_app.http.errors import NotFound
from serve_app.jobs.retry import retry as retry_job
from serve_app.jobs.schemas import RetryBody
from serve_app.jobs.submit import Submission
from serve_app.resources import Clients


def owner_of(user: User) -> Identity:
    """Return the owner of a job, in whose name, and at whose cost, it is made again."""
    return Identity(user.id, "user", user.plan, USER_SCOPES)


async def cancel(clients: Clients, staff: Identity, job_id: str) -> Job:
    """Cancel a job of whomever; the same again, or for a job that has ended, changes nothing.

    Raises:
        NotFound: no such job.
        PermissionMissing: it is a job of staff.
    """
    job, _ = await _get(clients, staff, job_id)

    async def audit(session: AsyncSession, job: Job) -> None:
        was = "queued" if job.status == "canceled" else job.status
        await audit_log.write(
            session,
            actor=staff.user_id,
            action="job.canceled",
            subject=job.id,
            detail={"was": was},
        )

    return await cancel_job(clients.sessions, clients.redis, clients.queues, job, audit)


async def retry(
    clients: Clients, staff: Identity, job_id: str, key: str | None, request_id: str
) -> Submission:
    """Make a job again, as a new one that its owner pays for; once for each ``key``.

    An account that is disabled at the same moment may still get the job, as with one that its owner
    submits then: like its other jobs it is finished, and may be canceled.

    Raises:
        NotFound: no such job, or its account is disabled or deleted.
        PermissionMissing: it is a job of staff.
        JobNotFinal: it waits or runs.
        NotEnoughCredits: its owner cannot pay for it.
    """
    job, owner = await _get(clients, staff, job_id)
    if not users.is_open(owner):
        raise NotFound

    async def audit(session: AsyncSession, again: Job) -> None:
        await audit_log.write(
            session,
            actor=staff.user_id,
            action="job.retried",
            subject=job.id,
            detail={"retried_as": again.id},
        )

    # The key is one of the owner's: it must not be what the owner could have sent. A key that a
    # client sends holds no space.
    ours = None if key is None else f"{staff.user_id} {key}"
    return await retry_job(clients, owner_of(owner), job.id, RetryBody(), ours, request_id, audit)


async def _get(clients: Clients, staff: Identity, job_id: str) -> tuple[Job, User]:
    async with clients.sessions() as session:
        job = await queries.get(session, job_id)
        owner = None if job is None else await users.get(session, job.user_id)
    if job is None or owner is None:
        raise NotFound
    check_reach(staff, owner)
    return job, owner
