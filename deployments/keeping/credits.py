"""Take the credits that have expired. Jobs spend none of them meanwhile: a hold looks itself."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from billing import ledger, lots
from deployments.keeping.house import House

AT_A_TIME = 500

log = structlog.get_logger(__name__)


async def expire_credits(house: House) -> int:
    """Returns how many credits expired."""
    async with house.stores.sessions() as session:
        people = await lots.with_expired(session, AT_A_TIME)
    gone = 0
    for user_id in people:
        async with house.stores.sessions.begin() as session:
            expired = await ledger.expire(session, user_id, datetime.now(UTC))
        gone += expired
        log.info("credits_expired", user_id=user_id, credits=expired)
    return gone
