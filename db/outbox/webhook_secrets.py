"""The secret that signs a user's webhooks, and for a day the previous one."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import WebhookSecret

PREFIX = "whsec_"
SECRET_BYTES = 32
OVERLAP = timedelta(hours=24)


async def ensure(session: AsyncSession, user_ids: Collection[str]) -> Mapping[str, WebhookSecret]:
    """Return the secrets by user; creates those that are missing."""
    known = await _load(session, user_ids)
    # Sorted, so that two transactions that create them do not deadlock.
    rows = [
        {"user_id": user_id, "secret": _new_secret()} for user_id in sorted({*user_ids} - {*known})
    ]
    if not rows:
        return known
    await session.execute(insert(WebhookSecret).values(rows).on_conflict_do_nothing())
    return await _load(session, user_ids)


async def rotate(session: AsyncSession, user_id: str) -> WebhookSecret:
    """Create a new secret. The replaced one signs for another day, the one before it no longer."""
    new = insert(WebhookSecret).values(user_id=user_id, secret=_new_secret())
    rolled = new.on_conflict_do_update(
        index_elements=[WebhookSecret.user_id],
        set_={
            "secret": new.excluded.secret,
            "created_at": func.now(),
            "previous": WebhookSecret.secret,
            "previous_until": func.now() + OVERLAP,
        },
    ).returning(WebhookSecret)
    rows = await session.scalars(rolled, execution_options={"populate_existing": True})
    return rows.one()


def signing_secrets(row: WebhookSecret) -> list[str]:
    """Return the secrets to sign with now, the newest first."""
    valid = [row.secret]
    if row.previous is not None and row.previous_until is not None:
        valid += [row.previous] if datetime.now(UTC) < row.previous_until else []
    return valid


def _new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def _load(session: AsyncSession, user_ids: Collection[str]) -> Mapping[str, WebhookSecret]:
    rows = await session.scalars(select(WebhookSecret).where(WebhookSecret.user_id.in_(user_ids)))
    return {row.user_id: row for row in rows}
