"""Bound how many jobs of a user run at a time, where a job is claimed.

A job that is claimed while its user runs as many jobs as allowed is deferred: its row is marked and
its message dropped, so that no replica is kept busy by jobs that may not run. When a slot becomes
free (a job ends, is lost or drained, or the limit is raised), deferred jobs are resumed in the same
transaction: outbox rows ask for their messages. Maintenance also looks for slots left unused.

Within a flow (``db.jobs.fair_queue``) the first job that was submitted runs first: a job whose
message comes before those of older deferred ones is deferred behind them.

Every function holds the user's row, so that two claims never count the same free slot.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing import plans
from db.jobs import deferred, fair_queue, transitions
from db.jobs.queue_messages import enqueue_row
from db.outbox import rows as outbox
from db.tables import Job

# The replica that defers a job holds its message a moment longer, and meanwhile the queue ignores a
# second message of the same name. If it takes longer than this, reconciling finds the job.
RELEASE_DELAY = timedelta(seconds=1)
# The most jobs that one transaction resumes, as when a limit was raised far.
BATCH_SIZE = 500


async def claim_or_defer(
    session: AsyncSession, job_id: str, attempt: int, replica: str | None = None
) -> Job | None:
    """Claim the job if its user may run one more and it is its turn; otherwise defer it.

    Returns None if the job was deferred, or does not wait for this attempt: drop its message.
    """
    flow = await deferred.lock_flow(session, job_id, attempt)
    if flow is None:
        return None
    turn = await deferred.read_turn(session, flow, job_id)
    limits = plans.limits(turn.plan, turn.max_waiting_jobs, turn.max_running_jobs)
    free_slots = _free_of(limits, turn.running)
    if free_slots <= 0:
        await transitions.defer(session, job_id, attempt)
        return None
    if turn.older_deferred and await deferred.is_out_of_turn(session, flow, job_id, free_slots):
        await transitions.defer(session, job_id, attempt)
        await resume_deferred(session, flow.user_id)
        return None
    return await transitions.claim(session, job_id, attempt, replica)


async def resume_deferred(session: AsyncSession, user_id: str) -> int:
    """Resume as many deferred jobs of the user as there are free slots; returns how many.

    The caller holds the user's row.
    """
    if not await deferred.has_deferred(session, user_id):
        return 0
    free_slots = await _free_slots(session, user_id)
    if free_slots <= 0:
        return 0
    jobs = await deferred.find_resumable(session, user_id, min(free_slots, BATCH_SIZE))
    resumed = await transitions.resume_deferred(session, {job.id for job in jobs})
    flows: defaultdict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.id in resumed:
            flows[job.generator, job.priority].append(job)
    for flow in flows.values():
        await fair_queue.catch_up(session, flow)
        for job in flow:
            await _write_message(session, job)
    return len(resumed)


async def _write_message(session: AsyncSession, job: Job) -> None:
    if job.deferred_at is not None:  # as it was read before the job was resumed
        topic, key, payload = enqueue_row(job)
        # A key of its own: the outbox row of the first push exists already, and was delivered.
        key = f"{key}:{job.deferred_at.isoformat()}"
        await outbox.write(session, topic, key, payload, due=job.deferred_at + RELEASE_DELAY)


async def _free_slots(session: AsyncSession, user_id: str) -> int:
    limits = await plans.limits_of(session, user_id)
    return _free_of(limits, await deferred.count_running(session, user_id))


def _free_of(limits: plans.Limits, running: int) -> int:
    return BATCH_SIZE if limits.running is None else limits.running - running
