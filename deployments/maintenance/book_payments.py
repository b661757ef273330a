"""Book the events that Stripe sent, and ask Stripe for events that never arrived."""

from __future__ import annotations

from billing.stripe import inbox
from deployments.maintenance.context import MaintenanceContext

# A bound, so that the task returns often enough to be seen as alive.
BATCH_SIZE = 20


async def book_payments(context: MaintenanceContext) -> int:
    """Process the events that are due; returns how many were tried."""
    tried = 0
    if context.stripe is not None:
        while tried < BATCH_SIZE:
            if await inbox.process_next(context.stores.sessions, context.stripe) is None:
                break
            tried += 1
    return tried


async def catch_up_payments(context: MaintenanceContext) -> int:
    """Ask Stripe for the events since the last call; returns how many had been missed."""
    if context.stripe is None:
        return 0
    return await inbox.catch_up(context.stores.sessions, context.stripe)
