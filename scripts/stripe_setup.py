"""Create Atelier's products and prices at Stripe: ``python -m scripts.stripe_setup --help``.

Safe to run again: existing ones stay. Reads ``STRIPE_API_KEY`` (and ``STRIPE_API_BASE``).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from billing.settings import StripeSettings
from billing.stripe.client import StripeConnection
from billing.stripe.inbox import EVENT_TYPES
from billing.stripe.setup import make_endpoint, make_prices


async def set_up(settings: StripeSettings, currency: str, webhook_url: str | None) -> list[str]:
    """Create what is missing; returns a line of report for each."""
    connection = StripeConnection(settings)
    try:
        lines = await make_prices(connection, currency)
        if webhook_url is not None:
            secret = await make_endpoint(connection, webhook_url, EVENT_TYPES)
            lines.append(f"STRIPE_WEBHOOK_SECRET={secret}")
        return lines
    finally:
        await connection.close()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.stripe_setup", description=__doc__)
    parser.add_argument("--currency", default="usd", help="of new prices (default: usd)")
    parser.add_argument(
        "--webhook-url",
        help="have events sent there (https://.../v1/billing/stripe/webhook); prints the secret",
    )
    options = parser.parse_args(argv)
    settings = StripeSettings()
    if not settings.billing_enabled:
        print("STRIPE_API_KEY is not set.", file=sys.stderr)
        return 2
    for line in asyncio.run(set_up(settings, options.currency, options.webhook_url)):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
