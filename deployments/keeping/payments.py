"""Book what Stripe tells of, and ask for what it told nobody."""

from __future__ import annotations

from billing import stripe_inbox
from deployments.keeping.house import House

# The task ends now and then, so that its keeper sees that it does not hang.
AT_A_TIME = 20


async def book_payments(house: House) -> int:
    """Work off events that are due; returns how many were tried."""
    tried = 0
    if house.stripe is not None:
        while tried < AT_A_TIME:
            if await stripe_inbox.process_next(house.stores.sessions, house.stripe) is None:
                break
            tried += 1
    return tried


async def catch_up_payments(house: House) -> int:
    """Ask Stripe for events since the last time; returns how many had been missed."""
    if house.stripe is None:
        return 0
    return await stripe_inbox.catch_up(house.stores.sessions, house.stripe)
