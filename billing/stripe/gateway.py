"""The gateway to Stripe: checkout, events and state of payments, over one connection.

Every write has an idempotency key, every call a timeout, and the version of the API is pinned.
Nothing here touches the database.
"""

from __future__ import annotations

from billing.settings import StripeSettings
from billing.stripe.checkout import StripeCheckout
from billing.stripe.client import StripeConnection
from billing.stripe.events import Events
from billing.stripe.state import StripeStateReader


class StripeGateway:
    """All calls to Stripe; create and close it in the same running event loop."""

    def __init__(self, settings: StripeSettings) -> None:
        self._connection = StripeConnection(settings)
        self.checkout = StripeCheckout(self._connection, settings)
        self.events = Events(self._connection, settings)
        self.state = StripeStateReader(self._connection)

    async def close(self) -> None:
        await self._connection.close()
