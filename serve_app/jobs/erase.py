"""Erase the files and texts of a final job; the row with its cost stays."""

from __future__ import annotations

from contextlib import suppress

import structlog

from db.accounts import files
from db.errors import StoreUnavailable
from db.jobs import transitions
from db.object_store import temp_key
from db.redis.client import delete_job_keys
from db.tables import FINAL_STATUSES, Job
from serve_app.http.errors import JobNotFinal
from serve_app.jobs.read import get_job
from serve_app.resources import Clients

log = structlog.get_logger()


async def erase(clients: Clients, user_id: str, job_id: str) -> None:
    """Erase a job, its objects first: if a later step fails, erasing again completes it.

    Files that were uploaded separately, and jobs made from this one, stay.

    Raises:
        NotFound: also for another user's job, and one erased before.
        JobNotFinal: it waits or runs.
    """
    job = await get_job(clients, user_id, job_id)
    if job.status not in FINAL_STATUSES:
        raise JobNotFinal
    async with clients.sessions() as session:
        rows = await files.of_job(session, job_id)
    await clients.objects.delete(
        {row.object_key for row in rows} | await _other_objects(clients, job)
    )
    await clients.documents.delete(job_id)
    with suppress(StoreUnavailable):  # what Redis has of the job expires, and no row leads to it
        await delete_job_keys(clients.redis, [job_id])
    async with clients.sessions.begin() as session:
        # The job before its files, whose count (migration 0031) others lock after jobs, too:
        # a submit that copies this job would wait for the count and be waited for.
        await transitions.erase(session, job_id, user_id)
        for row in rows:
            await files.mark_deleted(session, row.id, user_id)
    log.info("job_erased", job_id=job_id, objects=len(rows))


async def _other_objects(clients: Clients, job: Job) -> set[str]:
    """List outputs and objects without a row: files of lost attempts, previews, saved scenes."""
    prefixes = (f"outputs/{job.user_id}/{job.id}/", temp_key(job.id, "-").removesuffix("-"))
    return {stored.key for prefix in prefixes for stored in await clients.objects.list(prefix)}
