"""``atelier-admin grants``: credits that are given."""

from __future__ import annotations

import argparse
import asyncio

from sqlalchemy import select

from atelier_admin.connections import ACTOR, find_user, open_sessions
from atelier_admin.errors import DONE, Refused
from atelier_admin.options import Subparsers, add_limit, at_least, common_options, last_day
from atelier_admin.output import Credits, print_done, print_rows
from billing import ledger
from db.ids import new_id
from db.operations import audit_log
from db.session import Sessions
from db.tables import CreditLot, Transaction, User


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("grants", help="credits that are given")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    give = actions.add_parser("give", help="give credits", parents=[common_options()])
    give.add_argument("user", metavar="USER", help="an id or an e-mail address")
    give.add_argument("credits", type=at_least(1))
    give.add_argument("--reason", required=True, help="why; the user reads it")
    give.add_argument(
        "--expires", type=last_day, metavar="DAY", help="the last day (UTC) they last"
    )
    give.set_defaults(run=run, action=_give)

    listing = actions.add_parser("list", help="the newest grants", parents=[common_options()])
    listing.add_argument("--user", metavar="USER", help="whose: an id or an e-mail address")
    add_limit(listing)
    listing.set_defaults(run=run, action=_list)


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_sessions(arguments) as sessions:
        return int(await arguments.action(arguments, sessions))


async def _give(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user = await find_user(sessions, arguments.user)
    if user.deleted_at is not None:
        raise Refused(f"{user.email} was deleted")
    async with sessions.begin() as session:
        await ledger.grant(
            session,
            user.id,
            arguments.credits,
            f"admin:{new_id('grant')}",
            arguments.reason,
            arguments.expires,
        )
        balance = await session.scalar(select(User.balance).where(User.id == user.id))
        await audit_log.write(
            session,
            actor=ACTOR,
            action="user.grant",
            subject=user.id,
            detail={
                "amount": arguments.credits,
                "reason": arguments.reason,
                "expires_at": arguments.expires.isoformat() if arguments.expires else None,
            },
        )
    done = {"id": user.id, "granted": arguments.credits, "balance": balance}
    print_done(arguments, done, f"{user.email} now has {Credits(balance or 0)} credits")
    return DONE


async def _list(arguments: argparse.Namespace, sessions: Sessions) -> int:
    query = (
        select(Transaction, User.email, CreditLot)
        .join(User, User.id == Transaction.user_id)
        .outerjoin(CreditLot, CreditLot.id == Transaction.id)
        .where(Transaction.kind == "grant")
        .order_by(Transaction.id.desc())
        .limit(arguments.limit)
    )
    if arguments.user:
        query = query.where(Transaction.user_id == (await find_user(sessions, arguments.user)).id)
    async with sessions() as session:
        found = (await session.execute(query)).all()
    rows = [
        {
            "id": grant.id,
            "user": email,
            "credits": Credits(grant.amount),
            "left": None if lot is None else Credits(lot.remaining),
            "expires": None if lot is None else lot.expires_at,
            "reason": grant.reason,
            "created": grant.created_at,
        }
        for grant, email, lot in found
    ]
    print_rows(arguments, rows, none="no grants")
    return DONE
