"""Dead letters: read one, retry it as a new job of its owner, or drop it."""

from __future__ import annotations

import structlog

from db.accounts import users
from db.jobs import dead_letters
from db.operations import audit_log
from db.tables import DeadLetter, Job, User
from serve_app.admin.access import check_reach
from serve_app.admin.jobs import owner_of
from serve_app.auth.identity import Identity
from serve_app.http.errors import AlreadyResolved, NotFound
from serve_app.jobs.retry import retry as retry_job
from serve_app.jobs.schemas import RetryBody
from serve_app.resources import Clients

log = structlog.get_logger()

Letter = tuple[DeadLetter, Job]


async def get(clients: Clients, letter_id: str) -> Letter:
    """Return the dead letter and its job; raises NotFound."""
    async with clients.sessions() as session:
        letter_and_job = await dead_letters.get(session, letter_id)
    if letter_and_job is None:
        raise NotFound
    return letter_and_job


async def retry(clients: Clients, staff: Identity, letter_id: str, request_id: str) -> Letter:
    """Submit the job's input again as a new job of the owner, who pays for it as for any job.

    Two retries at the same moment create one job.

    Raises:
        NotFound: no such letter, or its job was erased.
        PermissionMissing: it is a letter of a job of staff.
        AlreadyResolved: it was retried or dropped before.
        NotEnoughCredits: the owner cannot pay for it.
    """
    (letter, job), owner = await _in_reach(clients, staff, letter_id)
    if letter.resolution is not None:
        raise AlreadyResolved
    if not users.is_open(owner):
        raise NotFound
    submission = await retry_job(
        clients, owner_of(owner), job.id, RetryBody(), f"retry {letter_id}", request_id
    )
    return await _resolve(clients, staff, letter_id, "retried", submission.job.id)


async def drop(clients: Clients, staff: Identity, letter_id: str) -> Letter:
    """Mark the dead letter as dropped: nobody will retry it.

    Raises:
        NotFound: no such letter.
        PermissionMissing: it is a letter of a job of staff.
        AlreadyResolved: it was retried or dropped before.
    """
    await _in_reach(clients, staff, letter_id)
    return await _resolve(clients, staff, letter_id, "dropped")


async def _in_reach(clients: Clients, staff: Identity, letter_id: str) -> tuple[Letter, User]:
    """Return the letter and the owner of its job, on whom ``staff`` may act."""
    letter, job = await get(clients, letter_id)
    async with clients.sessions() as session:
        owner = await users.get(session, job.user_id)
    if owner is None:
        raise NotFound
    check_reach(staff, owner)
    return (letter, job), owner


async def _resolve(
    clients: Clients, staff: Identity, letter_id: str, how: str, retried_as: str | None = None
) -> Letter:
    async with clients.sessions.begin() as session:
        if await dead_letters.resolve(session, letter_id, how, retried_as) is None:
            raise AlreadyResolved
        await audit_log.write(
            session,
            actor=staff.user_id,
            action=f"dead_letter.{how}",
            subject=letter_id,
            detail={"retried_as": retried_as} if retried_as else None,
        )
    log.info("dead_letter_resolved", dead_letter_id=letter_id, how=how)
    return await get(clients, letter_id)
