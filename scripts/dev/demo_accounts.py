"""The accounts that ``./scripts/run`` makes: a user with credits, and an administrator."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from db.accounts import users
from db.operations import audit_log
from db.session import make_sessions, open_engine
from db.tables import ApiKey, User
from serve_app.auth.api_keys import ALL_SCOPES, USER_SCOPES, create_api_key
from serve_app.auth.passwords import hash_password

ACTOR = "scripts.run"
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
    engine = open_engine(database_url, connections=2)
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
