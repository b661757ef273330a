"""End a job: its row, its files and the credits move in one transaction.

Settling waits about a minute for a store that is down, while the heartbeat keeps the lease. After
that the row stays "running": its lease expires, and maintenance starts another attempt.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import Table, insert

from billing.settlement import Settlement, settle
from db.jobs import queries
from db.jobs.results import output_row
from db.tables import File, Job
from deployments.retry import retry_while_unavailable
from deployments.stores import Stores
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext, StopReason
from deployments.worker.outputs import STORE_TIMEOUT_S, check_owned

# The table's own INSERT: the ORM's looks for what it is to return.
_INSERT_FILES = insert(cast("Table", File.__table__))


async def settle_attempt(
    stores: Stores, job: Job, context: RunContext, settlement: Settlement
) -> Job:
    """Settle ``job`` and record its files in one transaction; returns the updated row.

    Raises:
        AttemptLost: the row is no longer this attempt's; nothing was changed.
    """

    async def settle_once() -> Job | None:
        check_owned(context)
        async with stores.sessions.begin() as session:
            ended = await settle(session, job, settlement)
            if ended is not None and settlement.outputs:
                await session.execute(
                    _INSERT_FILES, [output_row(job, out) for out in settlement.outputs]
                )
            # If the answer to a commit was lost in an outage, the repeated settle changes nothing:
            # the row itself then shows whether this attempt ended it.
            row = ended or await queries.get(session, job.id)
        ours = row is not None and (row.status, row.attempt) == (settlement.status, job.attempt)
        return row if ours else None

    ended = await retry_while_unavailable(
        "settle",
        settle_once,
        STORE_TIMEOUT_S,
        stop_if=lambda: context.stop_reason is StopReason.LOST,
    )
    if ended is None:
        raise AttemptLost(job.id)
    return ended
