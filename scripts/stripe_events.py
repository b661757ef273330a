"""The inbox of Stripe's events: ``python -m scripts.stripe_events --help``.

``list`` shows events that wait or were given up, ``replay`` processes events again, ``catch-up``
fetches missed events from Stripe. It reads ``DATABASE_URL``, ``STRIPE_API_KEY`` and
``STRIPE_API_BASE``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from sqlalchemy import or_, select

from billing.settings import StripeSettings
from billing.stripe import inbox
from billing.stripe.gateway import StripeGateway
from db.session import Sessions, make_sessions, open_engine
from db.tables import StripeEvent


async def unprocessed_events(sessions: Sessions) -> list[StripeEvent]:
    """List events that wait for a retry or were given up, oldest first."""
    async with sessions() as session:
        events = await session.scalars(
            select(StripeEvent)
            .where(or_(StripeEvent.processed_at.is_(None), StripeEvent.outcome == "failed"))
            .order_by(StripeEvent.occurred_at)
        )
        return list(events)


async def run(options: argparse.Namespace) -> int:
    engine = open_engine(os.environ["DATABASE_URL"], pool_size=2)
    sessions = make_sessions(engine)
    gateway = None
    try:
        if options.command == "list":
            for event in await unprocessed_events(sessions):
                state = event.outcome or f"waits, tried {event.attempts} times"
                print(f"{event.id}  {event.occurred_at:%Y-%m-%d %H:%M}  {event.type}  {state}"
                      f"  {event.error or ''}")  # fmt: skip
            return 0
        gateway = StripeGateway(StripeSettings())
        if options.command == "catch-up":
            print(f"{await inbox.catch_up(sessions, gateway)} events had been missed")
            return 0
        ids = options.ids or [event.id for event in await unprocessed_events(sessions)]
        failed = 0
        for event_id in ids:
            outcome = await inbox.replay(sessions, gateway, event_id)
            failed += outcome is None
            print(f"{event_id}  {outcome or 'not there, or Stripe did not answer'}")
        return 1 if failed else 0
    finally:
        if gateway is not None:
            await gateway.close()
        await engine.dispose()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.stripe_events", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="those that wait or were given up")
    replay = commands.add_parser("replay", help="work off once more")
    replay.add_argument("ids", nargs="*", metavar="EVENT", help="without any: all of the list")
    commands.add_parser("catch-up", help="ask Stripe for what was missed")
    options = parser.parse_args(argv)
    if options.command != "list" and not StripeSettings().billing_enabled:
        print("STRIPE_API_KEY is not set.", file=sys.stderr)
        return 2
    return asyncio.run(run(options))


if __name__ == "__main__":
    raise SystemExit(main())
