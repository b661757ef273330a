"""How many jobs of a user run at a time: bounded where a job is claimed.

A job that is claimed while its user runs as many as may is parked: its row is marked and its
message dropped, so that no replica is kept busy by jobs that may not run. Whatever makes room (an
end, a lost attempt, a hand-back, a higher limit) lets parked ones go on in the same transaction, by
outbox rows that the keeper delivers; the keeper also looks for room that was left unused.

All of it happens under the user's row, so that two claims never count the same room.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger, plans
from db.jobs import deferred, transitions
from db.jobs.queue_order import enqueue_row
from db.outbox import rows as outbox
from db.tables import Job

# The replica that parks a job still holds its message, and until it lets go the queue ignores
# another of that name. Should it take longer, the keeper's reconciling finds the job.
RELEASE_DELAY = timedelta(seconds=1)
# What one transaction lets go on, where a limit was raised far above what runs.
BATCH_SIZE = 500


async def claim_or_defer(
    session: AsyncSession, job_id: str, attempt: int, replica: str | None = None
) -> Job | None:
    """``jobs.claim`` for a user who may run one more; else the job is parked.

    None if the message is of no use any more: parked, or not waiting for this attempt.
    """
    user_id = await deferred.queued_job_owner(session, job_id, attempt)
    if user_id is None:
        return None
    await ledger.lock_user(session, user_id)
    if await _free_slots(session, user_id) <= 0:
        await transitions.defer(session, job_id, attempt)
        return None
    return await transitions.claim(session, job_id, attempt, replica)


async def resume_deferred(session: AsyncSession, user_id: str) -> int:
    """Let as many parked jobs of the user go on as there is room for; returns how many.

    The caller holds the user's row.
    """
    if not await deferred.has_deferred(session, user_id):
        return 0
    room = await _free_slots(session, user_id)
    if room <= 0:
        return 0
    found = {
        job.id: job
        for job in await deferred.find_resumable(session, user_id, min(room, BATCH_SIZE))
    }
    released = await transitions.resume_deferred(session, found.keys())
    for job_id, job in found.items():
        if job_id in released and job.parked_at is not None:
            topic, key, payload = enqueue_row(job)
            # A key of its own: the row of the first push is there, and delivered.
            key = f"{key}:{job.parked_at.isoformat()}"
            await outbox.write(session, topic, key, payload, due=job.parked_at + RELEASE_DELAY)
    return len(released)


async def _free_slots(session: AsyncSession, user_id: str) -> int:
    most = (await plans.limits_of(session, user_id)).running
    return BATCH_SIZE if most is None else most - await deferred.count_running(session, user_id)
