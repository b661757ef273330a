"""The secret that signs a user's webhooks: create, read, roll."""

from __future__ import annotations

from datetime import UTC, datetime

from db.outbox import webhook_secrets
from db.tables import WebhookSecret
from serve_app.http import idempotency
from serve_app.resources import Clients
from serve_app.webhooks.schemas import SecretView

_CALL = "POST /v1/webhooks/secret"


async def get_secret(clients: Clients, user_id: str) -> SecretView:
    """Return the user's secret; creates one if there is none."""
    return _view(await _ensure_secret(clients, user_id))


async def signing_secrets(clients: Clients, user_id: str) -> list[str]:
    """Return the secrets that sign the user's webhooks now."""
    return webhook_secrets.signing_secrets(await _ensure_secret(clients, user_id))


async def rotate_secret(
    clients: Clients, user_id: str, idempotency_key: str | None
) -> tuple[SecretView, bool]:
    """Roll the secret; returns it, and whether an earlier request with this key created it.

    Raises:
        IdempotencyMismatch: the key was used with another call.
    """
    async with clients.sessions.begin() as session:
        if idempotency_key is not None:
            hashed = idempotency.body_hash(_CALL, None)
            first = await idempotency.claim(session, user_id, idempotency_key, hashed, user_id)
            if first is not None:
                return _view((await webhook_secrets.ensure(session, [user_id]))[user_id]), True
        return _view(await webhook_secrets.rotate(session, user_id)), False


async def _ensure_secret(clients: Clients, user_id: str) -> WebhookSecret:
    async with clients.sessions.begin() as session:
        return (await webhook_secrets.ensure(session, [user_id]))[user_id]


def _view(row: WebhookSecret) -> SecretView:
    until = row.previous_until
    return SecretView(
        secret=row.secret,
        created_at=row.created_at,
        previous_until=until if until is not None and until > datetime.now(UTC) else None,
    )
