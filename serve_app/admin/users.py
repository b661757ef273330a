"""An account as administrators see it, and its plan and limits as they set them."""

from __future__ import annotations

from typing import Any

import structlog

from billing import ledger, parking
from db import audit, users
from db.tables import User
from serve_app.admin.schemas import UserLimitsBody
from serve_app.auth.identity import Identity
from serve_app.clients import Clients
from serve_app.errors import NotFound
from serve_app.limits import Standing, standing

log = structlog.get_logger()

Account = tuple[User, Standing]


async def look(clients: Clients, user_id: str) -> Account:
    """Raises NotFound."""
    async with clients.sessions() as session:
        user = await users.get(session, user_id)
        if user is None:
            raise NotFound
        ceiling = clients.settings.limits.max_waiting_jobs
        return user, await standing(session, user_id, ceiling)


async def change(clients: Clients, admin: Identity, user_id: str, body: UserLimitsBody) -> Account:
    """Set what the body names. Where that makes room, parked jobs go on in the same transaction.

    A lower limit stops nothing: what runs is let finish.

    Raises:
        NotFound: no such user.
    """
    async with clients.sessions.begin() as session:
        await ledger.lock_user(session, user_id)
        user = await users.get(session, user_id)
        if user is None:
            raise NotFound
        changed = _set(user, body)
        if changed:
            await session.flush()
            await audit.write(
                session, actor=admin.user_id, action="user.limits", subject=user_id, detail=changed
            )
            await parking.let_on(session, user_id)
    if changed:
        log.info("user_limits_changed", user_id=user_id)
    return await look(clients, user_id)


def _set(user: User, body: UserLimitsBody) -> dict[str, Any]:
    """Change the row; returns what that changed, as ``[before, after]`` by column."""
    changed = {}
    for name, value in body.model_dump(exclude_unset=True).items():
        before = getattr(user, name)
        if value != before:
            setattr(user, name, value)
            changed[name] = [before, value]
    return changed
