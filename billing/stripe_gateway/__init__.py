"""Stripe, through its own SDK. The only folder that imports it; nothing in it touches the database.

Every write carries an idempotency key, every call a timeout, and the version of the API is the one
that this was written for, whatever the account's default is.
"""

from __future__ import annotations

from billing.settings import StripeSettings
from billing.stripe_gateway.client import Connection, KeyReused, Refused
from billing.stripe_gateway.events import BadSignature, Event, Events
from billing.stripe_gateway.facts import FactReader
from billing.stripe_gateway.shop import Receipt, Shop

__all__ = [
    "BadSignature",
    "Event",
    "KeyReused",
    "Receipt",
    "Refused",
    "StripeGateway",
]


class StripeGateway:
    """Made in a running event loop, closed in the same."""

    def __init__(self, settings: StripeSettings) -> None:
        self._connection = Connection(settings)
        self.shop = Shop(self._connection, settings)
        self.events = Events(self._connection, settings)
        self.facts = FactReader(self._connection)

    async def close(self) -> None:
        await self._connection.close()
