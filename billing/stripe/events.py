"""Events: whether a webhook is Stripe's, and what there was while nobody listened."""

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

# How far a webhook's time may be off: Stripe's own recommendation.
TOLERANCE_S = 300


class BadSignature(Exception):
    """The webhook was not signed by Stripe, not lately, or was altered."""


@dataclass(frozen=True)
class Event:
    """What an event is about; ``body`` is all of it, with what must not be kept."""

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
        """Raises BadSignature."""
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
        """Kept by Stripe for 30 days; None if it is gone."""
        try:
            async with translating_errors():
                found = await self._v1.events.retrieve_async(event_id)
        except StripeRejected as error:
            raise_unless_missing(error)
            return None
        return _event(found.to_dict())

    async def since(self, since: datetime, types: Sequence[str]) -> list[Event]:
        """Everything of these types from ``since`` on, oldest first."""
        found = []
        async with translating_errors():
            listed = await self._v1.events.list_async(
                {"created": {"gte": int(since.timestamp())}, "types": list(types), "limit": 100}
            )
            async for one in listed.auto_paging_iter():
                found.append(_event(one.to_dict()))
        return found[::-1]


def _event(body: Mapping[str, Any]) -> Event:
    about = body["data"]["object"]
    return Event(
        id=str(body["id"]),
        type=str(body["type"]),
        object_id=about.get("id"),
        occurred_at=time_of(int(body["created"])),
        body=body,
    )
