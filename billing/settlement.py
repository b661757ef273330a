"""Where a job is charged: its final status and its credits change in one transaction, once.

The runner, the keeper and a cancel race for the same guarded UPDATE; whoever comes second finds
the row moved, books nothing and is told so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from billing import concurrency, key_budgets, ledger
from db.jobs import transitions
from db.outbox import rows as outbox
from db.outbox import webhook_events
from db.tables import Job


@dataclass(frozen=True)
class Outcome:
    """How a job ends: ``share`` (0..1) of the quote is charged, the rest of the hold given back."""

    status: str
    charged_fraction: float = 0.0
    outputs: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None


async def settle(session: AsyncSession, job: Job, ending: Outcome) -> Job | None:
    """End ``job`` as it was read (its status and attempt are the guard).

    Returns the job as it now is, or None if it had moved on meanwhile; then nothing was changed.
    """
    await ledger.lock_user(session, job.user_id)
    charged = min(job.credits_quoted, round(job.credits_quoted * ending.charged_fraction))
    ended = await transitions.finish(
        session,
        job.id,
        from_status=job.status,
        attempt=job.attempt,
        to_status=ending.status,
        charged=charged,
        outputs=ending.outputs,
        error=ending.error,
    )
    if ended is None:
        return None
    reason = f"{job.generator} {ending.status}"
    await ledger.capture(session, job.user_id, charged, job.id, reason)
    await ledger.release(session, job.user_id, job.credits_quoted - charged, job.id, reason)
    await key_budgets.refund_cap(session, job, job.credits_quoted - charged)
    await outbox.write(
        session,
        outbox.NOTIFY,
        f"{job.id}:{ending.status}",
        {"job_id": job.id, "type": f"job.{ending.status}"},
    )
    await webhook_events.write(session, ended, f"job.{ending.status}")
    await concurrency.resume_deferred(session, job.user_id)
    return ended
