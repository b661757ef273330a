"""Take the credits that have expired. Jobs spend none of them meanwhile: a hold looks itself."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from billing import ledger, lots
from deployments.maintenance.context import MaintenanceContext

BATCH_SIZE = 500

log = structlog.get_logger(__name__)


async def expire_credits(context: MaintenanceContext) -> int:
    """Returns how many credits expired."""
    async with context.stores.sessions() as session:
        people = await lots.users_with_expired(session, BATCH_SIZE)
    gone = 0
    for user_id in people:
        async with context.stores.sessions.begin() as session:
            expired = await ledger.expire(session, user_id, datetime.now(UTC))
        gone += expired
        log.info("credits_expired", user_id=user_id, credits=expired)
    return gone
