"""``atelier-admin users``: accounts, their roles, passwords and log-ins."""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from atelier_admin.connections import ACTOR, OPERATOR, Reach, find_user, open_sessions
from atelier_admin.errors import DONE, Refused
from atelier_admin.options import Subparsers, add_limit, common_options
from atelier_admin.output import Credits, print_done, print_record, print_rows
from db.accounts import passkeys, recovery_codes, totp, users
from db.accounts.users import AccountFilter
from db.operations import audit_log
from db.outbox import mails
from db.session import Sessions
from db.tables import ROLES, ApiKey, Job, RefreshToken, User
from serve_app.admin import access
from serve_app.auth import refresh
from serve_app.auth.passwords import hash_password

Action = Callable[[argparse.Namespace, Sessions], Awaitable[int]]


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("users", help="accounts: roles, passwords, log-ins")
    actions = group.add_subparsers(required=True, metavar="ACTION")

    def add(name: str, action: Action, about: str, *, who: bool = True) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=about, parents=[common_options()])
        parser.set_defaults(run=run, action=action)
        if who:
            parser.add_argument("user", metavar="USER", help="an id or an e-mail address")
        return parser

    listing = add("list", _list, "the newest accounts", who=False)
    listing.add_argument("--email", metavar="PART", help="whose address has this part")
    listing.add_argument("--role", choices=ROLES)
    listing.add_argument("--disabled", action="store_true", help="those that are disabled")
    add_limit(listing)
    add("show", _show, "an account, its credits, keys and jobs")
    create = add(
        "create", _create, "make an account without credits; prints its password", who=False
    )
    create.add_argument("email", type=_address)
    create.add_argument("--role", choices=ROLES, default="user")
    add("disable", _disable, "let nobody log in or use a key of it; its jobs are finished")
    add("enable", _enable, "let its owner and its keys in again")
    role = add("role", _role, "make it staff (support, ops, admin), or a user again")
    role.add_argument("role", choices=ROLES)
    add("password", _password, "set a new password, which is printed, and end its log-ins")
    add("revoke-sessions", _revoke_sessions, "end its log-ins")
    add("remove-second-factor", _remove_second_factor, "for an owner whose phone is lost")


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_sessions(arguments) as sessions:
        return int(await arguments.action(arguments, sessions))


async def _list(arguments: argparse.Namespace, sessions: Sessions) -> int:
    which = AccountFilter(arguments.email, arguments.role, arguments.disabled)
    async with sessions() as session:
        found = await users.page(session, which, None, arguments.limit)
    rows = [
        {
            "id": user.id,
            "email": user.email,
            "role": user.role,
            "plan": user.plan,
            "state": users.state(user),
            "balance": Credits(user.balance),
            "held": Credits(user.held),
            "created": user.created_at,
        }
        for user in found
    ]
    print_rows(arguments, rows, none="no accounts")
    return DONE


async def _show(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user = await find_user(sessions, arguments.user)
    async with sessions() as session:
        by_status = select(Job.status, func.count()).where(Job.user_id == user.id)
        found = (await session.execute(by_status.group_by(Job.status))).all()
        counts = {row[0]: row[1] for row in found}
        keys = await _count(
            session,
            select(func.count()).where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None)),
        )
        second_factor = await totp.is_enabled(session, user.id)
        logins = await _count(
            session,
            select(func.count(RefreshToken.family_id.distinct())).where(
                RefreshToken.user_id == user.id,
                RefreshToken.revoked_at.is_(None),
                RefreshToken.used_at.is_(None),
                RefreshToken.expires_at > func.now(),
            ),
        )
    record = {
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "state": users.state(user),
        "plan": user.plan,
        "max_waiting_jobs": user.max_waiting_jobs,
        "max_running_jobs": user.max_running_jobs,
        "balance": Credits(user.balance),
        "held": Credits(user.held),
        "debt": Credits(user.debt),
        "second_factor": second_factor,
        "keys": keys,
        "log_ins": logins,
        "jobs": counts,
        "created": user.created_at,
        "disabled": user.disabled_at,
        "deleted": user.deleted_at,
    }
    print_record(arguments, record)
    return DONE


async def _create(arguments: argparse.Namespace, sessions: Sessions) -> int:
    password = secrets.token_urlsafe(16)
    password_hash = await asyncio.to_thread(hash_password, password)
    async with sessions.begin() as session:
        user = await users.add(session, arguments.email, password_hash, arguments.role)
        if user is None:
            raise Refused(f"there is an account {arguments.email}")
        await _audit(session, "user.created", user, {"role": arguments.role})
    _print_password(arguments, user, password)
    return DONE


async def _disable(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user = await find_user(sessions, arguments.user)
    if user.deleted_at is not None or not await access.disable(sessions, OPERATOR, user.id):
        raise Refused(f"{user.email} is {users.state(user)} already")
    print_done(arguments, {"id": user.id, "state": "disabled"}, f"{user.email} is disabled")
    return DONE


async def _enable(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user = await find_user(sessions, arguments.user)
    if user.deleted_at is not None or not await access.enable(sessions, OPERATOR, user.id):
        raise Refused(f"{user.email} is not disabled")
    print_done(arguments, {"id": user.id, "state": "active"}, f"{user.email} is enabled")
    return DONE


async def _role(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user = await find_user(sessions, arguments.user)
    if user.deleted_at is not None:
        raise Refused(f"{user.email} was deleted")
    revoked = await access.set_role(sessions, OPERATOR, user.id, arguments.role) or 0
    done = {"id": user.id, "role": arguments.role, "keys_revoked": revoked}
    said = f"{user.email} is now {arguments.role}"
    if revoked:
        said += f"; {revoked} of its keys with the scope admin no longer work"
    print_done(arguments, done, said)
    return DONE


async def _password(arguments: argparse.Namespace, sessions: Sessions) -> int:
    """Set a new password; an account that waits for its address to be verified waits no longer."""
    user = await find_user(sessions, arguments.user)
    if user.deleted_at is not None:
        raise Refused(f"{user.email} was deleted")
    password = secrets.token_urlsafe(16)
    password_hash = await asyncio.to_thread(hash_password, password)
    async with sessions.begin() as session:
        if not await users.activate(session, user.id, password_hash):
            await users.set_password(session, user.id, password_hash)
        await refresh.revoke_user(session, user.id)
        await _audit(session, "user.password", user)
    _print_password(arguments, user, password)
    return DONE


async def _revoke_sessions(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user = await find_user(sessions, arguments.user)
    async with sessions.begin() as session:
        await refresh.revoke_user(session, user.id)
        await _audit(session, "user.sessions_revoked", user)
    print_done(arguments, {"id": user.id}, f"all log-ins of {user.email} are ended")
    return DONE


async def _remove_second_factor(arguments: argparse.Namespace, sessions: Sessions) -> int:
    """Let the account log in by its password alone; passkeys go too, log-ins and API keys stay.

    Its owner is told where mails are sent: somebody else may have asked for it.
    """
    is_told = Reach.of(arguments).mail().enabled
    user = await find_user(sessions, arguments.user)
    async with sessions.begin() as session:
        had_app = await totp.remove(session, user.id)
        removed = await passkeys.remove_all(session, user.id)
        if not had_app and not removed:
            raise Refused(f"{user.email} has no second factor")
        await recovery_codes.delete_of_user(session, user.id)
        if is_told and had_app:
            await mails.write(session, mails.SECOND_FACTOR_REMOVED, user.email, user_id=user.id)
        if is_told and removed:
            await mails.write(session, mails.PASSKEY_REMOVED, user.email, user_id=user.id)
        detail = {"by": "command", "passkeys": removed}
        await _audit(session, "totp.removed", user, detail)
    done = {"id": user.id, "passkeys": removed}
    print_done(arguments, done, f"{user.email} logs in by its password alone")
    return DONE


def _print_password(arguments: argparse.Namespace, user: User, password: str) -> None:
    # Alone on its line, so that a script can take it; it is stored nowhere.
    print_done(arguments, {"id": user.id, "email": user.email, "password": password}, password)


async def _audit(
    session: AsyncSession, action: str, user: User, detail: dict[str, Any] | None = None
) -> None:
    await audit_log.write(session, actor=ACTOR, action=action, subject=user.id, detail=detail)


async def _count(session: AsyncSession, query: Any) -> int:
    return int(await session.scalar(query) or 0)


def _address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
