"""Stripe, through its own SDK. The only folder that imports it; nothing in it touches the database.

Every write carries an idempotency key, every call a timeout, and the version of the API is the one
that this was written for, whatever the account's default is.
"""

from __future__ import annotations

from billing.settings import StripeSettings
from billing.stripe.checkout import Receipt, StripeCheckout
from billing.stripe.client import IdempotencyKeyReused, StripeConnection, StripeRejected
from billing.stripe.events import BadSignature, Event, Events
from billing.stripe.state import StripeStateReader

__all__ = [
    "BadSignature",
    "Event",
    "IdempotencyKeyReused",
    "Receipt",
    "StripeGateway",
    "StripeRejected",
]


class StripeGateway:
    """Made in a running event loop, closed in the same."""

    def __init__(self, settings: StripeSettings) -> None:
        self._connection = StripeConnection(settings)
        self.checkout = StripeCheckout(self._connection, settings)
        self.events = Events(self._connection, settings)
        self.state = StripeStateReader(self._connection)

    async def close(self) -> None:
        await self._connection.close()
