"""``atelier-admin stripe``: what is sold there, and the inbox of its events."""

from __future__ import annotations

import argparse
import asyncio

from sqlalchemy import or_, select

from atelier_admin.connections import Reach, open_sessions
from atelier_admin.errors import DONE, WRONG, BadConfiguration, Refused
from atelier_admin.options import Subparsers, common_options
from atelier_admin.output import print_done, print_rows
from billing.settings import StripeSettings
from billing.stripe import inbox
from billing.stripe.gateway import StripeGateway
from billing.stripe.setup import set_up
from db.session import Sessions
from db.tables import StripeEvent


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("stripe", help="products and prices at Stripe, and its events")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    setup = actions.add_parser(
        "setup",
        help="make the products, prices and the webhook endpoint that are missing",
        parents=[common_options()],
    )
    setup.add_argument("--currency", default="usd", help="of new prices (default: usd)")
    setup.add_argument(
        "--webhook-url",
        metavar="URL",
        help="have events sent there (https://.../v1/billing/stripe/webhook); prints the secret",
    )
    setup.set_defaults(run=lambda arguments: asyncio.run(_set_up(arguments)))

    events = actions.add_parser(
        "events", help="events that wait or were given up", parents=[common_options()]
    )
    events.set_defaults(run=lambda arguments: asyncio.run(_events(arguments)))
    replay = actions.add_parser(
        "replay", help="work events off once more", parents=[common_options()]
    )
    replay.add_argument(
        "ids", nargs="*", metavar="EVENT", help="without any: all that `events` lists"
    )
    replay.set_defaults(run=lambda arguments: asyncio.run(_replay(arguments)))
    catch_up = actions.add_parser(
        "catch-up", help="ask Stripe for events that never came", parents=[common_options()]
    )
    catch_up.set_defaults(run=lambda arguments: asyncio.run(_catch_up(arguments)))


async def _set_up(arguments: argparse.Namespace) -> int:
    # Billing may be set up before there is a database.
    given = StripeSettings()
    stripe = given if given.billing_enabled else _require(Reach.of(arguments).stripe())
    lines = await set_up(stripe, arguments.currency, arguments.webhook_url)
    print_done(arguments, {"data": lines}, "\n".join(lines))
    return DONE


async def _events(arguments: argparse.Namespace) -> int:
    async with open_sessions(arguments) as sessions:
        found = await unprocessed_events(sessions)
    rows = [
        {
            "id": event.id,
            "type": event.type,
            "state": event.outcome or "waits",
            "attempts": event.attempts,
            "occurred": event.occurred_at,
            "error": event.error,
        }
        for event in found
    ]
    print_rows(arguments, rows, none="no event waits, and none was given up")
    return DONE


async def _replay(arguments: argparse.Namespace) -> int:
    stripe = _require(Reach.of(arguments).stripe())
    gateway = StripeGateway(stripe)
    try:
        async with open_sessions(arguments) as sessions:
            ids = arguments.ids or [event.id for event in await unprocessed_events(sessions)]
            rows = [
                {"id": event_id, "outcome": await inbox.replay(sessions, gateway, event_id)}
                for event_id in ids
            ]
    finally:
        await gateway.close()
    print_rows(arguments, rows, none="no event waits, and none was given up")
    missing = [row["id"] for row in rows if row["outcome"] is None]
    if missing and len(missing) == len(arguments.ids) == 1:
        raise Refused(f"{missing[0]} is not there, or Stripe did not answer")
    return WRONG if missing else DONE


async def _catch_up(arguments: argparse.Namespace) -> int:
    gateway = StripeGateway(_require(Reach.of(arguments).stripe()))
    try:
        async with open_sessions(arguments) as sessions:
            missed = await inbox.catch_up(sessions, gateway)
    finally:
        await gateway.close()
    print_done(arguments, {"missed": missed}, f"{missed} events had been missed")
    return DONE


async def unprocessed_events(sessions: Sessions) -> list[StripeEvent]:
    """List events that wait for a retry or were given up, oldest first."""
    async with sessions() as session:
        events = await session.scalars(
            select(StripeEvent)
            .where(or_(StripeEvent.processed_at.is_(None), StripeEvent.outcome == "failed"))
            .order_by(StripeEvent.occurred_at)
        )
        return list(events)


def _require(stripe: StripeSettings) -> StripeSettings:
    if not stripe.billing_enabled:
        raise BadConfiguration("STRIPE_API_KEY is not set: nothing is sold")
    return stripe
