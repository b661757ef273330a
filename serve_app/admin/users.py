"""Accounts for staff: list and read them, change plans and limits, grant credits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from billing import concurrency, ledger
from db.accounts import users
from db.accounts.users import AccountFilter
from db.ids import new_id
from db.operations import audit_log
from db.tables import User
from serve_app.admin.access import check_reach
from serve_app.admin.schemas import GrantBody, UserLimitsBody
from serve_app.auth.identity import Identity
from serve_app.http import idempotency
from serve_app.http.errors import NotFound
from serve_app.limits.usage import LimitUsage, limit_usage
from serve_app.resources import Clients

log = structlog.get_logger()

Account = tuple[User, LimitUsage]


async def page(
    clients: Clients, which: AccountFilter, after: str | None, limit: int
) -> Sequence[User]:
    """List accounts, newest first, older than the id ``after``."""
    return await clients.read_sessions(lambda session: users.page(session, which, after, limit))


async def get(clients: Clients, user_id: str) -> Account:
    """Return the user and the use of their limits; raises NotFound."""
    async with clients.sessions() as session:
        user = await users.get(session, user_id)
        if user is None:
            raise NotFound
        ceiling = clients.settings.limits.max_waiting_jobs
        return user, await limit_usage(session, user_id, ceiling)


async def change(clients: Clients, staff: Identity, user_id: str, body: UserLimitsBody) -> Account:
    """Change the fields that ``body`` names. Deferred jobs that then fit resume in the transaction.

    A lower limit stops no job: those that run are finished.

    Raises:
        NotFound: no such user.
        PermissionMissing: it is an account of staff.
    """
    async with clients.sessions.begin() as session:
        await ledger.lock_user(session, user_id)
        user = await users.get(session, user_id)
        if user is None:
            raise NotFound
        check_reach(staff, user)
        changed = _apply_changes(user, body)
        if changed:
            await session.flush()
            await concurrency.resume_deferred(session, user_id)
            await audit_log.write(
                session, actor=staff.user_id, action="user.limits", subject=user_id, detail=changed
            )
    if changed:
        log.info("user_limits_changed", user_id=user_id)
    return await get(clients, user_id)


async def grant(
    clients: Clients, staff: Identity, user_id: str, body: GrantBody, key: str | None
) -> bool:
    """Grant credits; returns False if an earlier request with this key already did.

    Raises:
        NotFound: no such user.
        PermissionMissing: it is an account of staff.
        IdempotencyMismatch: the key was used with another body.
    """
    name = f"admin:{new_id('grant')}"
    call = f"POST /v1/admin/users/{user_id}/grants"
    async with clients.sessions.begin() as session:
        user = await users.get(session, user_id)
        if user is None:
            raise NotFound
        check_reach(staff, user)
        if key is not None:
            hashed = idempotency.body_hash(call, body.model_dump(mode="json"))
            if await idempotency.claim(session, staff.user_id, key, hashed, name) is not None:
                return False
        await ledger.grant(session, user_id, body.amount, name, body.reason, body.expires_at)
        await audit_log.write(
            session,
            actor=staff.user_id,
            action="user.grant",
            subject=user_id,
            detail=body.model_dump(mode="json"),
        )
    log.info("credits_granted", user_id=user_id, credits=body.amount)
    return True


def _apply_changes(user: User, body: UserLimitsBody) -> dict[str, Any]:
    """Change the row; returns ``[before, after]`` of each column that changed."""
    changed = {}
    for name, value in body.model_dump(exclude_unset=True).items():
        before = getattr(user, name)
        if value != before:
            setattr(user, name, value)
            changed[name] = [before, value]
    return changed
