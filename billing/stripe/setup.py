"""Create at Stripe what sales need: products, prices, the webhook endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from billing.offers import OFFERS, Offer
from billing.settings import StripeSettings
from billing.stripe.client import API_VERSION, StripeConnection, metadata, translating_errors
from billing.stripe.inbox import EVENT_TYPES


async def set_up(settings: StripeSettings, currency: str, webhook_url: str | None) -> list[str]:
    """Create what is missing; returns a line of report for each. Safe to run again."""
    connection = StripeConnection(settings)
    try:
        lines = await make_prices(connection, currency)
        if webhook_url is not None:
            secret = await make_endpoint(connection, webhook_url, EVENT_TYPES)
            lines.append(f"STRIPE_WEBHOOK_SECRET={secret}")
        return lines
    finally:
        await connection.close()


async def make_prices(connection: StripeConnection, currency: str) -> list[str]:
    """Create missing prices of billing.offers; returns a line for each offer.

    An offer that changed gets a new price, which takes over the lookup key. The old price stays for
    its subscribers.
    """
    done = []
    for offer in OFFERS:
        async with translating_errors():
            prices = await connection.v1.prices.list_async(
                {"lookup_keys": [offer.lookup_key], "active": True}
            )
            price = prices.data[0] if prices.data else None
            if price is not None and (
                price.unit_amount == offer.amount
                and price.currency == currency
                and metadata(price) == _metadata(offer)
            ):
                done.append(f"{offer.lookup_key}: there ({price.id})")
                continue
            product = await connection.v1.products.create_async(
                {"name": offer.title, "metadata": _metadata(offer)}
            )
            params: dict[str, Any] = {
                "product": product.id,
                "currency": currency,
                "unit_amount": offer.amount,
                "lookup_key": offer.lookup_key,
                "transfer_lookup_key": True,
                "metadata": _metadata(offer),
            }
            if offer.kind == "plan":
                params["recurring"] = {"interval": "month"}
            created = await connection.v1.prices.create_async(params)  # type: ignore[arg-type]
            done.append(f"{offer.lookup_key}: made ({created.id})")
    return done


async def make_endpoint(connection: StripeConnection, url: str, types: Sequence[str]) -> str:
    """Create the webhook endpoint ``url``; returns its signing secret, which is shown once."""
    async with translating_errors():
        endpoint = await connection.v1.webhook_endpoints.create_async(
            {"url": url, "enabled_events": cast(Any, list(types)), "api_version": API_VERSION}
        )
    return endpoint.secret or ""


def _metadata(offer: Offer) -> dict[str, str]:
    return {"kind": offer.kind, "name": offer.name, "credits": str(offer.credits)}
