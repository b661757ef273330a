"""Book what Stripe tells of, and ask for what it told nobody."""

from __future__ import annotations

from billing.stripe import inbox
from deployments.maintenance.context import MaintenanceContext

# The task ends now and then, so that its keeper sees that it does not hang.
BATCH_SIZE = 20


async def book_payments(context: MaintenanceContext) -> int:
    """Work off events that are due; returns how many were tried."""
    tried = 0
    if context.stripe is not None:
        while tried < BATCH_SIZE:
            if await inbox.process_next(context.stores.sessions, context.stripe) is None:
                break
            tried += 1
    return tried


async def catch_up_payments(context: MaintenanceContext) -> int:
    """Ask Stripe for events since the last time; returns how many had been missed."""
    if context.stripe is None:
        return 0
    return await inbox.catch_up(context.stores.sessions, context.stripe)
