"""Commands for administrators of accounts: ``python -m scripts.admin --help``.

They write to Postgres directly (``DATABASE_URL``) with the functions of the service, so that they
work while the HTTP API is down. Every change writes a row to ``audit_log``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from db.accounts import users
from db.ids import new_id
from db.operations import audit_log
from db.session import make_sessions, open_engine
from db.tables import ApiKey, User
from serve_app.auth import refresh
from serve_app.auth.api_keys import ALL_SCOPES, USER_SCOPES, create_api_key
from serve_app.auth.passwords import hash_password

ACTOR = "scripts.admin"
DEMO_EMAIL = "demo@example.com"
ADMIN_EMAIL = "admin@example.com"
DEMO_CREDITS = 1000


async def _account(session: AsyncSession, email: str, role: str) -> User:
    """Return the account; creates it with a random password if it is new."""
    user = await users.by_email(session, email)
    if user is None:
        password = hash_password(secrets.token_urlsafe(32))
        user = await users.add(session, email, password, role)
        if user is None:
            raise RuntimeError(f"{email} was made and removed at the same moment; try again")
        await audit_log.write(
            session, actor=ACTOR, action="user.created", subject=user.id, detail={"role": role}
        )
    return user


async def _fresh_key(session: AsyncSession, user: User, name: str, scopes: list[str]) -> str:
    """Create a key; revokes an older one of the same name, which cannot be read back."""
    revoked = await session.scalars(
        update(ApiKey)
        .where(ApiKey.user_id == user.id, ApiKey.name == name, ApiKey.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
        .returning(ApiKey.id)
    )
    old_ids = revoked.all()
    row, secret = await create_api_key(session, user.id, name, scopes)
    for key_id in old_ids:
        await audit_log.write(session, actor=ACTOR, action="api_key.revoked", subject=key_id)
    await audit_log.write(
        session, actor=ACTOR, action="api_key.created", subject=row.id, detail={"scopes": scopes}
    )
    return secret


async def demo_accounts(database_url: str) -> tuple[str, str]:
    """Create a demo user with credits and an administrator; returns a new API key of each."""
    engine = open_engine(database_url, pool_size=1)
    sessions = make_sessions(engine)
    # The key names the day, so that the user of an old data folder gets credits again.
    day = datetime.now(UTC).date().isoformat()
    wanted = ((DEMO_EMAIL, "user", USER_SCOPES), (ADMIN_EMAIL, "admin", ALL_SCOPES))
    keys = []
    try:
        for email, role, scopes in wanted:
            async with sessions.begin() as session:
                account = await _account(session, email, role)
            async with sessions.begin() as session:
                await ledger.grant(
                    session, account.id, DEMO_CREDITS, f"demo:{account.id}:{day}", "demo credits"
                )
                keys.append(await _fresh_key(session, account, "demo", sorted(scopes)))
        return keys[0], keys[1]
    finally:
        await engine.dispose()


def ensure_demo_user(database_url: str) -> tuple[str, str]:
    """Run :func:`demo_accounts` for callers without an event loop."""
    return asyncio.run(demo_accounts(database_url))


async def grant(
    database_url: str, email: str, credits: int, reason: str, expires_at: datetime | None = None
) -> int:
    """Grant credits to the account, optionally until ``expires_at``; returns the new balance."""
    engine = open_engine(database_url, pool_size=1)
    try:
        async with make_sessions(engine).begin() as session:
            user = await users.by_email(session, email)
            if user is None:
                raise SystemExit(f"there is no account {email}")
            key = f"admin:{new_id('grant')}"
            await ledger.grant(session, user.id, credits, key, reason, expires_at)
            await audit_log.write(
                session,
                actor=ACTOR,
                action="user.grant",
                subject=user.id,
                detail={
                    "credits": credits,
                    "reason": reason,
                    "expires_at": expires_at.isoformat() if expires_at else None,
                },
            )
            await session.refresh(user)
            return user.balance
    finally:
        await engine.dispose()


def _day(text: str) -> datetime:
    """Parse a day; returns its end in UTC."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("a day as 2027-01-31") from error
    end = datetime.combine(day, time.max, UTC)
    if end <= datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text} is over")
    return end


async def set_role(database_url: str, email: str, role: str) -> None:
    engine = open_engine(database_url, pool_size=1)
    try:
        async with make_sessions(engine).begin() as session:
            user = await users.by_email(session, email)
            if user is None:
                raise SystemExit(f"there is no account {email}")
            await session.execute(update(User).where(User.id == user.id).values(role=role))
            await audit_log.write(
                session, actor=ACTOR, action="user.role", subject=user.id, detail={"role": role}
            )
    finally:
        await engine.dispose()


async def add_account(database_url: str, email: str, role: str) -> str:
    """Make an account without credits; returns its password, which is stored nowhere."""
    password = secrets.token_urlsafe(16)
    engine = open_engine(database_url, pool_size=1)
    try:
        async with make_sessions(engine).begin() as session:
            user = await users.add(session, email, hash_password(password), role)
            if user is None:
                raise SystemExit(f"there is an account {email}")
            await audit_log.write(
                session, actor=ACTOR, action="user.created", subject=user.id, detail={"role": role}
            )
    finally:
        await engine.dispose()
    return password


async def new_password(database_url: str, email: str) -> str:
    """Set a new password and end the account's logins; returns the password.

    An account that waits for its address to be verified waits no longer.
    """
    password = secrets.token_urlsafe(16)
    engine = open_engine(database_url, pool_size=1)
    try:
        async with make_sessions(engine).begin() as session:
            user = await users.by_email(session, email)
            if user is None:
                raise SystemExit(f"there is no account {email}")
            password_hash = hash_password(password)
            if not await users.activate(session, user.id, password_hash):
                await users.set_password(session, user.id, password_hash)
            await refresh.revoke_user(session, user.id)
            await audit_log.write(session, actor=ACTOR, action="user.password", subject=user.id)
    finally:
        await engine.dispose()
    return password


def _address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.admin", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    give = commands.add_parser("grant", help="give credits to an account")
    give.add_argument("email")
    give.add_argument("credits", type=int)
    give.add_argument("--reason", default="granted by an administrator")
    give.add_argument("--expires", type=_day, metavar="DAY", help="the last day (UTC) they last")
    add = commands.add_parser("add", help="make an account; its password is printed")
    add.add_argument("email", type=_address)
    add.add_argument("--role", choices=["user", "admin"], default="user")
    password = commands.add_parser("password", help="set a new password, which is printed")
    password.add_argument("email")
    role = commands.add_parser("role", help="make an account an administrator, or a user again")
    role.add_argument("email")
    role.add_argument("role", choices=["user", "admin"])
    arguments = parser.parse_args(argv)
    database_url = os.environ.get("DATABASE_URL")
    if not database_url:
        raise SystemExit("DATABASE_URL is not set")
    if arguments.command == "grant":
        if arguments.credits <= 0:
            raise SystemExit("credits must be above zero")
        balance = asyncio.run(
            grant(
                database_url,
                arguments.email,
                arguments.credits,
                arguments.reason,
                arguments.expires,
            )
        )
        print(f"{arguments.email} now has {balance} credits")
    elif arguments.command == "add":
        print(asyncio.run(add_account(database_url, arguments.email, arguments.role)))
    elif arguments.command == "password":
        print(asyncio.run(new_password(database_url, arguments.email)))
    else:
        asyncio.run(set_role(database_url, arguments.email, arguments.role))
        print(f"{arguments.email} is now {arguments.role}")


if __name__ == "__main__":
    main()
