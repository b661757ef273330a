"""End a job: its final status and its credits change in one transaction, exactly once.

The runner, maintenance and a cancel request may settle the same job at the same moment. The first
one moves the row; for the others the guarded UPDATE matches nothing and ``settle`` returns None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from billing import concurrency, job_counts, key_budgets, ledger
from db.jobs import batches, deferred, transitions
from db.outbox import rows as outbox
from db.outbox import webhook_events
from db.tables import Job

_TELL = deferred.A_DEFERRED.add_cte(outbox.INSERTION.cte("told"))


@dataclass(frozen=True)
class Settlement:
    """How to end a job: its final ``status``, and the fraction (0..1) of the quote to charge.

    The rest of the hold is released. ``result_key`` is that of a result that can be used again.
    """

    status: str
    charged_fraction: float = 0.0
    outputs: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    result_key: str | None = None


async def settle(session: AsyncSession, job: Job, settlement: Settlement) -> Job | None:
    """End ``job`` if its row still has the status and attempt with which it was read.

    Returns the updated row, or None if the row had changed; then nothing is booked.
    """
    await ledger.lock_user(session, job.user_id)
    charged = min(job.credits_quoted, round(job.credits_quoted * settlement.charged_fraction))
    ended = await transitions.finish(
        session,
        job.id,
        from_status=job.status,
        attempt=job.attempt,
        to_status=settlement.status,
        charged=charged,
        outputs=settlement.outputs,
        error=settlement.error,
        result_key=settlement.result_key,
    )
    if ended is None:
        return None
    reason = f"{job.generator} {settlement.status}"
    await ledger.capture(session, job.user_id, charged, job.id, reason)
    await ledger.release(session, job.user_id, job.credits_quoted - charged, job.id, reason)
    await key_budgets.refund_cap(session, job, job.credits_quoted - charged)
    told = outbox.row(
        outbox.NOTIFY,
        f"{job.id}:{settlement.status}",
        {"job_id": job.id, "type": f"job.{settlement.status}"},
    )
    # One round trip, since every job ends here.
    others_wait = await session.scalar(_TELL, {**told, "user_id": job.user_id}) is not None
    await webhook_events.write(session, ended, f"job.{settlement.status}")
    if ended.batch_id is not None:
        finished = await batches.count_end(session, ended)
        if finished is not None:
            await webhook_events.write_batch_finished(session, finished)
    if others_wait:
        await concurrency.resume_deferred(session, job.user_id)
    job_counts.count_end(session, ended)
    return ended
