"""Stripe's events: verify webhooks, and list events that were missed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import stripe

from billing.settings import StripeSettings
from billing.stripe.client import (
    StripeConnection,
    StripeRejected,
    raise_unless_missing,
    time_of,
    translating_errors,
)

# How old a webhook may be: Stripe's recommendation.
TOLERANCE_S = 300


class BadSignature(Exception):
    """The webhook was not signed by Stripe, is too old, or was altered."""


@dataclass(frozen=True)
class Event:
    """An event; ``body`` is the whole of it, with personal data that must not be stored."""

    id: str
    type: str
    object_id: str | None
    occurred_at: datetime
    body: Mapping[str, Any]


class Events:
    def __init__(self, connection: StripeConnection, settings: StripeSettings) -> None:
        self._v1 = connection.v1
        self._secrets = settings.webhook_secrets()

    def verify(self, payload: bytes, signature: str | None) -> Event:
        """Verify a webhook and return its event; raises BadSignature."""
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(payload, signature, secret, TOLERANCE_S)
                return _event(json.loads(payload))
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            except (ValueError, KeyError, TypeError) as error:
                raise BadSignature("not an event") from error
        raise BadSignature("no secret of ours signed it")

    async def get(self, event_id: str) -> Event | None:
        """Return an event, or None if Stripe deleted it, which happens after 30 days."""
        try:
            async with translating_errors():
                event = await self._v1.events.retrieve_async(event_id)
        except StripeRejected as error:
            raise_unless_missing(error)
            return None
        return _event(event.to_dict())

    async def since(self, since: datetime, types: Sequence[str]) -> list[Event]:
        """Return all events of these types from ``since`` on, oldest first."""
        events = []
        async with translating_errors():
            listed = await self._v1.events.list_async(
                {"created": {"gte": int(since.timestamp())}, "types": list(types), "limit": 100}
            )
            async for event in listed.auto_paging_iter():
                events.append(_event(event.to_dict()))
        return events[::-1]


def _event(body: Mapping[str, Any]) -> Event:
    about = body["data"]["object"]
    return Event(
        id=str(body["id"]),
        type=str(body["type"]),
        object_id=about.get("id"),
        occurred_at=time_of(int(body["created"])),
        body=body,
    )
