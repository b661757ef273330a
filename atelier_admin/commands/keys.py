"""``atelier-admin keys``: the API keys of accounts."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime

from sqlalchemy import select

from atelier_admin.connections import ACTOR, find_user, open_sessions
from atelier_admin.errors import DONE, Refused
from atelier_admin.options import Subparsers, add_limit, at_least, common_options, last_day
from atelier_admin.output import Credits, print_done, print_rows
from db.operations import audit_log
from db.session import Sessions
from db.tables import ApiKey, User
from serve_app.auth import api_keys


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("keys", help="API keys")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the newest keys", parents=[common_options()])
    listing.add_argument("--user", metavar="USER", help="whose: an id or an e-mail address")
    listing.add_argument("--all", action="store_true", help="also those that are over")
    add_limit(listing)
    listing.set_defaults(run=run, action=_list)

    create = actions.add_parser("create", help="make a key; prints it", parents=[common_options()])
    create.add_argument("user", metavar="USER", help="an id or an e-mail address")
    create.add_argument("name", help="what its owner reads")
    create.add_argument("--scope", action="append", choices=sorted(api_keys.ALL_SCOPES),
                        help="what it may do; again for more (default: all but admin)")  # fmt: skip
    create.add_argument("--cap", type=at_least(0), metavar="CREDITS", help="to spend in a month")
    create.add_argument("--expires", type=last_day, metavar="DAY", help="the last day (UTC)")
    create.set_defaults(run=run, action=_create)

    revoke = actions.add_parser("revoke", help="end a key", parents=[common_options()])
    revoke.add_argument("key", metavar="KEY", help="its id (key_...)")
    revoke.set_defaults(run=run, action=_revoke)


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_sessions(arguments) as sessions:
        return int(await arguments.action(arguments, sessions))


async def _list(arguments: argparse.Namespace, sessions: Sessions) -> int:
    query = select(ApiKey, User.email).join(User, User.id == ApiKey.user_id)
    query = query.order_by(ApiKey.id.desc()).limit(arguments.limit)
    if arguments.user:
        query = query.where(ApiKey.user_id == (await find_user(sessions, arguments.user)).id)
    if not arguments.all:
        query = query.where(~api_keys.is_over())
    async with sessions() as session:
        found = (await session.execute(query)).all()
    rows = [
        {
            "id": key.id,
            "user": email,
            "name": key.name,
            "ends_in": key.hint,
            "state": _state(key),
            "scopes": key.scopes,
            "cap": None if key.monthly_cap is None else Credits(key.monthly_cap),
            "last_used": key.last_used_at,
            "expires": key.expires_at,
        }
        for key, email in found
    ]
    print_rows(arguments, rows, none="no keys")
    return DONE


async def _create(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user = await find_user(sessions, arguments.user)
    if user.deleted_at is not None:
        raise Refused(f"{user.email} was deleted")
    scopes = sorted(set(arguments.scope or api_keys.USER_SCOPES))
    async with sessions.begin() as session:
        row, secret = await api_keys.create_api_key(
            session, user.id, arguments.name, scopes, arguments.cap, arguments.expires
        )
        await audit_log.write(
            session,
            actor=ACTOR,
            action="api_key.created",
            subject=row.id,
            detail={
                "scopes": scopes,
                "monthly_cap": arguments.cap,
                "expires_at": arguments.expires.isoformat() if arguments.expires else None,
            },
        )
    print_done(arguments, {"id": row.id, "key": secret, "scopes": scopes}, secret)
    return DONE


async def _revoke(arguments: argparse.Namespace, sessions: Sessions) -> int:
    async with sessions.begin() as session:
        key = await session.get(ApiKey, arguments.key)
        if key is None:
            raise Refused(f"there is no key {arguments.key}")
        if not await api_keys.revoke(session, key.user_id, key.id):
            raise Refused(f"{key.id} was revoked before")
        await audit_log.write(session, actor=ACTOR, action="api_key.revoked", subject=key.id)
    print_done(arguments, {"id": key.id, "state": "revoked"}, f"{key.id} is revoked")
    return DONE


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    return "expired" if expired else "active"
