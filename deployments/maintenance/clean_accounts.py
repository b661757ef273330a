"""Delete what registrations leave behind: old counters, expired tokens, accounts never verified."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from db.accounts import account_tokens, daily_counters, users
from deployments.maintenance.context import MaintenanceContext

# Longer than the token that verifies an address lasts, with the time its mail may take.
PENDING_KEPT = timedelta(days=7)
COUNTERS_KEPT = timedelta(days=2)


async def sweep_accounts(context: MaintenanceContext) -> int:
    """Delete old rows about accounts; returns how many."""
    async with context.stores.sessions.begin() as session:
        oldest_day = (datetime.now(UTC) - COUNTERS_KEPT).date()
        return (
            await daily_counters.delete_before(session, oldest_day)
            + await account_tokens.delete_expired(session)
            + await users.delete_pending(session, PENDING_KEPT)
        )
