"""Check the ledger, and compare it with Stripe: ``python -m scripts.reconcile --help``.

Prints every difference with its row. Exit status 0: none; 1: some; 2: a store did not answer.
Reads ``DATABASE_URL``, and ``STRIPE_API_KEY`` and ``STRIPE_API_BASE`` where credits are sold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from billing.reconcile import CHECKS, Difference, reconcile
from billing.settings import StripeSettings
from billing.stripe.client import StripeRejected
from billing.stripe.gateway import StripeGateway
from billing.stripe.reconcile import reconcile_with_stripe
from db.errors import StoreUnavailable
from db.session import make_sessions, open_engine


async def differences(database_url: str, stripe: StripeSettings, days: int) -> list[Difference]:
    """Run all checks, and compare the payments of the last ``days`` with Stripe.

    Raises:
        StoreUnavailable, StripeRejected: Stripe did not answer, or rejected a request.
    """
    engine = open_engine(database_url, pool_size=1)
    sessions = make_sessions(engine)
    try:
        async with sessions() as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            results = await reconcile(session)
        if stripe.billing_enabled:
            gateway = StripeGateway(stripe)
            try:
                async with sessions() as session:
                    since = datetime.now(UTC) - timedelta(days=days)
                    results += await reconcile_with_stripe(session, gateway, since)
            finally:
                await gateway.close()
        return results
    finally:
        await engine.dispose()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.reconcile", description=__doc__)
    parser.add_argument("--days", type=int, default=35, help="how far back Stripe is asked")
    parser.add_argument("--json", action="store_true", help="one JSON array instead of lines")
    options = parser.parse_args(argv)
    stripe = StripeSettings()
    database_url = os.environ.get("DATABASE_URL")
    if not database_url:
        print("DATABASE_URL is not set.", file=sys.stderr)
        return 2
    try:
        results = asyncio.run(differences(database_url, stripe, options.days))
    except (SQLAlchemyError, StoreUnavailable, StripeRejected) as error:
        print(f"could not look: {type(error).__name__}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([asdict(difference) for difference in results], indent=1))
    else:
        for difference in results:
            print(f"{difference.check}  {difference.row}  {difference.detail}")
        against = f"{len(CHECKS)} checks" + (", and Stripe" if stripe.billing_enabled else "")
        print(f"{len(results)} differences ({against})")
    return 1 if results else 0


if __name__ == "__main__":
    raise SystemExit(main())
