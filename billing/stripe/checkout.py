"""Stripe's pages for customers: offers, checkout, billing portal, receipts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.offers import OFFERS, Price
from billing.settings import StripeSettings
from billing.stripe.client import (
    StripeConnection,
    StripeRejected,
    credits_of,
    time_of,
    translating_errors,
)

PRICES_CACHE_S = 300.0


@dataclass(frozen=True)
class Receipt:
    """An invoice: the address of Stripe's page and of the PDF."""

    id: str
    number: str | None
    status: str
    total: int
    currency: str
    created_at: datetime
    url: str | None
    pdf: str | None


class StripeCheckout:
    """Opens Stripe's pages. Their results arrive as events."""

    def __init__(self, connection: StripeConnection, settings: StripeSettings) -> None:
        self._v1 = connection.v1
        self._automatic_tax = settings.automatic_tax
        self._prices: tuple[float, list[Price]] | None = None

    async def prices(self) -> list[Price]:
        """Return the current prices in the order of billing.offers; cached for five minutes."""
        if self._prices is None or time.monotonic() - self._prices[0] > PRICES_CACHE_S:
            keys = [offer.lookup_key for offer in OFFERS]
            async with translating_errors():
                prices = await self._v1.prices.list_async(
                    {"lookup_keys": keys, "active": True, "limit": 100}
                )
            by_key = {price.lookup_key: price for price in prices.data}
            sold = [
                Price(
                    id=price.id,
                    kind=offer.kind,
                    name=offer.name,
                    title=offer.title,
                    credits=credits,
                    amount=price.unit_amount,
                    currency=price.currency,
                    interval=price.recurring.interval if price.recurring else None,
                )
                for offer in OFFERS
                if (price := by_key.get(offer.lookup_key)) and (credits := credits_of(price))
            ]
            self._prices = (time.monotonic(), sold)
        return self._prices[1]

    async def create_customer(self, user_id: str, email: str) -> str:
        """Create a customer; a second call within a day returns the same id."""
        async with translating_errors():
            customer = await self._v1.customers.create_async(
                {"email": email, "metadata": {"user_id": user_id}},
                {"idempotency_key": f"customer:{user_id}"},
            )
        return customer.id

    async def create_session(
        self, customer_id: str, price: Price, success_url: str, cancel_url: str, key: str
    ) -> tuple[str, str]:
        """Open a checkout page; returns the id of the session and its address.

        Raises:
            IdempotencyKeyReused, StripeRejected, StoreUnavailable
        """
        tax = self._automatic_tax
        params: dict[str, Any] = {
            "customer": customer_id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "automatic_tax": {"enabled": tax},
            "metadata": {"offer": f"{price.kind}:{price.name}"},
        }
        if tax:  # saves the address that the tax depends on, for renewals
            params["customer_update"] = {"address": "auto", "name": "auto"}
            params["tax_id_collection"] = {"enabled": True}
        if price.kind == "pack":
            params |= {"mode": "payment", "invoice_creation": {"enabled": True}}
        else:
            params["mode"] = "subscription"
        async with translating_errors():
            session = await self._v1.checkout.sessions.create_async(
                params,  # type: ignore[arg-type]
                {"idempotency_key": f"checkout:{key}"},
            )
        if session.url is None:
            raise StripeRejected("session_without_address")
        return session.id, session.url

    async def create_portal_session(self, customer_id: str, return_url: str) -> str:
        """Open the page where a customer changes plan, card and address; returns its address."""
        async with translating_errors():
            session = await self._v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}
            )
        return session.url

    async def receipts(
        self, customer_id: str, limit: int, after: str | None
    ) -> tuple[list[Receipt], bool]:
        """Return the customer's invoices, newest first, and whether there are more."""
        params: dict[str, Any] = {"customer": customer_id, "limit": limit}
        if after is not None:
            params["starting_after"] = after
        async with translating_errors():
            invoices = await self._v1.invoices.list_async(params)  # type: ignore[arg-type]
        receipts = [
            Receipt(
                id=invoice.id,
                number=invoice.number,
                status=invoice.status or "draft",
                total=invoice.total,
                currency=invoice.currency,
                created_at=time_of(invoice.created),
                url=invoice.hosted_invoice_url,
                pdf=invoice.invoice_pdf,
            )
            for invoice in invoices.data
        ]
        return receipts, invoices.has_more
