"""Book credits that have expired. A hold checks the date itself, so no job spends them before."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from billing import ledger, lots
from deployments.maintenance.context import MaintenanceContext

BATCH_SIZE = 500

log = structlog.get_logger(__name__)


async def expire_credits(context: MaintenanceContext) -> int:
    """Book the expired credits of every user; returns how many."""
    async with context.stores.sessions() as session:
        user_ids = await lots.users_with_expired(session, BATCH_SIZE)
    total = 0
    for user_id in user_ids:
        async with context.stores.sessions.begin() as session:
            expired = await ledger.expire(session, user_id, datetime.now(UTC))
        total += expired
        log.info("credits_expired", user_id=user_id, credits=expired)
    return total
