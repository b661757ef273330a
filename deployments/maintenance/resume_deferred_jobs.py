"""Parked jobs go on where there is room that nobody has used.

Whoever makes room lets them go on; what is left is a limit raised past the service, a plan that a
new version changed, and a job that was promoted while it was parked.
"""

from __future__ import annotations

import structlog

from billing import concurrency, ledger, plans
from db.jobs import deferred as parked
from deployments.maintenance.context import MaintenanceContext

log = structlog.get_logger(__name__)


async def resume_deferred_jobs(context: MaintenanceContext) -> int:
    """Let jobs go on whose users may run more; returns how many."""
    async with context.stores.sessions() as session:
        owners = await parked.users_with_deferred(session)
    released = 0
    for user_id, plan, waiting, running, at_work in owners:
        most = plans.limits(plan, waiting, running).running
        if most is not None and at_work >= most:
            continue  # most users, most of the time: their rows are not to be taken for nothing
        async with context.stores.sessions.begin() as session:
            await ledger.lock_user(session, user_id)
            released += await concurrency.resume_deferred(session, user_id)
    if released:
        log.info("jobs_unparked", jobs=released)
    return released
