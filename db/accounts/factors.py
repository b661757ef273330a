"""What logs in to an account beside its password: its app, its passkeys, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import passkeys, totp


@dataclass(frozen=True)
class Factor:
    """An app that shows codes, or a passkey, which has an ``id`` and a ``name``."""

    kind: Literal["totp", "passkey"]
    added_at: datetime
    id: str | None = None
    name: str | None = None


async def of_user(session: AsyncSession, user_id: str) -> tuple[Factor, ...]:
    """List what a log-in asks for or takes, the app first, then passkeys from the oldest on."""
    app = await totp.get(session, user_id)
    found = [Factor("totp", app.confirmed_at)] if app is not None and app.confirmed_at else []
    for key in await passkeys.of_user(session, user_id):
        found.append(Factor("passkey", key.created_at, key.id, key.name))
    return tuple(found)
