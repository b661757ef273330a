"""``atelier-admin reconcile``: check the ledger, and compare it with Stripe.

It prints every difference with its row, and changes nothing. Exit status 1: there are some.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from atelier_admin.connections import Reach, open_sessions
from atelier_admin.errors import DONE, WRONG
from atelier_admin.options import Subparsers, at_least, common_options
from atelier_admin.output import print_json, table
from billing.reconcile import CHECKS, Difference, reconcile
from billing.settings import StripeSettings
from billing.stripe.gateway import StripeGateway
from billing.stripe.reconcile import reconcile_with_stripe
from db.session import Sessions


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "reconcile",
        help="check the ledger against itself, the jobs and Stripe",
        parents=[common_options()],
    )
    parser.add_argument(
        "--days", type=at_least(1), default=35, help="how far back Stripe is asked (default 35)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    stripe = Reach.of(arguments).stripe()
    async with open_sessions(arguments) as sessions:
        found = await differences(sessions, stripe, arguments.days)
    against = f"{len(CHECKS)} checks" + (", and Stripe" if stripe.billing_enabled else "")
    rows = [asdict(difference) for difference in found]
    if arguments.json:
        checks = {"checks": len(CHECKS), "stripe": stripe.billing_enabled}
        print_json({"data": rows, **checks})
    else:
        if rows:
            print(table(rows))
        print(f"{len(rows)} differences ({against})")
    return WRONG if rows else DONE


async def differences(sessions: Sessions, stripe: StripeSettings, days: int) -> list[Difference]:
    """Run all checks, and compare the payments of the last ``days`` with Stripe.

    Raises:
        StoreUnavailable, StripeRejected: Stripe did not answer, or rejected a request.
    """
    async with sessions() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        results = await reconcile(session)
    if not stripe.billing_enabled:
        return results
    gateway = StripeGateway(stripe)
    try:
        async with sessions() as session:
            since = datetime.now(UTC) - timedelta(days=days)
            return results + await reconcile_with_stripe(session, gateway, since)
    finally:
        await gateway.close()
