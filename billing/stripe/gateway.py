"""The gateway to Stripe: checkout, events and the state of what was paid, over one connection.

Every write carries an idempotency key, every call a timeout, and the version of the API is the one
that this was written for, whatever the account's default is. Nothing here touches the database.
"""

from __future__ import annotations

from billing.settings import StripeSettings
from billing.stripe.checkout import StripeCheckout
from billing.stripe.client import StripeConnection
from billing.stripe.events import Events
from billing.stripe.state import StripeStateReader


class StripeGateway:
    """Made in a running event loop, closed in the same."""

    def __init__(self, settings: StripeSettings) -> None:
        self._connection = StripeConnection(settings)
        self.checkout = StripeCheckout(self._connection, settings)
        self.events = Events(self._connection, settings)
        self.state = StripeStateReader(self._connection)

    async def close(self) -> None:
        await self._connection.close()
