"""The credits that a new account starts with, as far as those of the day reach."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from db.accounts import daily_counters
from serve_app.resources import Clients

log = structlog.get_logger()

# Of many accounts without credits on a day one in so many is logged, and the first.
LOGGED_EVERY = 100

_GRANTED = "welcome:granted"
_WITHHELD = "welcome:withheld"


async def grant_welcome(session: AsyncSession, clients: Clients, user_id: str) -> None:
    """Grant the welcome credits in the transaction that makes the account usable.

    All accounts share the counter of the day, whose row stays locked until the transaction ends:
    after this only the audit log is written.
    """
    settings, day = clients.settings.auth, datetime.now(UTC).date()
    credits = settings.welcome_credits
    if credits == 0:
        return
    limit = settings.welcome_credits_per_day
    if await daily_counters.take(session, day, _GRANTED, credits, limit) is not None:
        await ledger.grant(session, user_id, credits, f"welcome:{user_id}", "welcome credits")
        return
    clients.metrics.welcome_withheld.inc()
    withheld = await daily_counters.take(session, day, _WITHHELD, 1)
    if withheld is not None and withheld % LOGGED_EVERY == 1:
        log.warning("welcome_credits_used_up", limit=limit, accounts_without=withheld)
