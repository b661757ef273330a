"""Resume deferred jobs whose users have a free slot.

A transaction that frees a slot resumes jobs itself. This task finds the remaining ones: a limit was
raised directly in the database, or a new version changed a plan.
"""

from __future__ import annotations

import structlog

from billing import concurrency, ledger, plans
from db.jobs import deferred
from deployments.maintenance.context import MaintenanceContext

log = structlog.get_logger(__name__)


async def resume_deferred_jobs(context: MaintenanceContext) -> int:
    """Resume jobs of users who may run more; returns how many."""
    async with context.stores.statements() as session:
        users = await deferred.users_with_deferred(session)
    resumed = 0
    for user_id, plan, own_max_waiting, own_max_running, running in users:
        max_running = plans.limits(plan, own_max_waiting, own_max_running).running
        if max_running is not None and running >= max_running:
            continue  # most users, most of the time: do not lock their rows for nothing
        async with context.stores.sessions.begin() as session:
            await ledger.lock_user(session, user_id)
            resumed += await concurrency.resume_deferred(session, user_id)
    if resumed:
        log.info("jobs_unparked", jobs=resumed)
    return resumed
