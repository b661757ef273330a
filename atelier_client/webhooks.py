"""Webhooks: their secret, a test event, and the check of what arrives (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from atelier_client.calls import Answer, Call, Flow, Page, ask, creation
from atelier_client.errors import InvalidWebhook
from atelier_client.resources import D, Operation, Resource

DeliveryStatus = Literal["pending", "delivered", "failed"]

TOLERANCE_S = 300.0


class WebhookSecret(Answer):
    """What your webhooks are signed with."""

    secret: str
    created_at: datetime
    previous_until: datetime | None = Field(
        description="Until then the secret before this one signs beside it."
    )


class TestDelivery(Answer):
    """What came back; ``error`` says why it would be sent again, were it no test."""

    __test__ = False  # for pytest: this is no test

    delivered: bool = Field(description="Whether the answer was 2xx.")
    status_code: int | None = Field(description="None when there was no answer.")
    milliseconds: int
    error: str | None


class Delivery(Answer):
    """An event, and what became of it: kept for a week if delivered, for 30 days if it failed."""

    id: int
    type: str
    job_id: str | None
    batch_id: str | None
    status: DeliveryStatus
    attempts: int
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None


class WebhookEvent(Answer):
    """What a webhook says. Of the types ``job.*``, ``data`` is the job."""

    type: str
    timestamp: datetime
    data: dict[str, Any]


def get_secret() -> Flow[WebhookSecret]:
    """What your webhooks are signed with, made when first asked for."""
    return (yield from ask(Call("GET", "/v1/webhooks/secret"), WebhookSecret))


def roll_secret(*, idempotency_key: str | None = None) -> Flow[WebhookSecret]:
    """Make a new one. For 24 hours the old one signs beside it; rolled again, it ends at once."""
    return (yield from ask(creation("/v1/webhooks/secret", None, idempotency_key), WebhookSecret))


def send_test(url: str) -> Flow[TestDelivery]:
    """Send a signed ``webhook.test`` event there now, once, and say what came back."""
    call = Call("POST", "/v1/webhooks/test", json={"url": url}, repeatable=False)
    return (yield from ask(call, TestDelivery))


def list_deliveries(
    *, status: DeliveryStatus | None = None, limit: int | None = None, after: str | None = None
) -> Flow[Page[Delivery]]:
    """Your events, newest first: delivered, tried again, or given up."""
    params = {"status": status, "limit": limit, "after": after}
    return (yield from ask(Call("GET", "/v1/webhooks/deliveries", params=params), Page[Delivery]))


def replay_delivery(delivery_id: int | str) -> Flow[Delivery]:
    """Send an event once more, with the same ``webhook-id``."""
    call = Call("POST", f"/v1/webhooks/deliveries/{delivery_id}/replay")
    return (yield from ask(call, Delivery))


class Webhooks(Resource[D]):
    """``client.webhooks``. Their scope is ``jobs:write``, and to list deliveries ``jobs:read``."""

    secret = Operation(get_secret)
    roll_secret = Operation(roll_secret)
    test = Operation(send_test)
    deliveries = Operation(list_deliveries)
    replay = Operation(replay_delivery)


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance_s: float = TOLERANCE_S
) -> WebhookEvent:
    """Check the signature of a webhook and return its event.

    ``body`` are the bytes as they came. An event may come more than once, always with the same
    ``webhook-id``.

    Raises:
        InvalidWebhook: it is not signed with ``secret``, was altered, or is more than
            ``tolerance_s`` seconds old (or early).
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, sent = lower["webhook-id"], lower["webhook-timestamp"]
        signatures = lower["webhook-signature"].split()
        age_s = abs(time.time() - int(sent))
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except (KeyError, ValueError, binascii.Error) as error:
        raise InvalidWebhook(f"a header or the secret is no good: {error}") from error
    if age_s > tolerance_s:
        raise InvalidWebhook(f"it was sent {age_s:.0f} seconds ago")
    signed = b".".join([webhook_id.encode(), sent.encode(), body])
    own = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    if not any(hmac.compare_digest(own, signature.encode()) for signature in signatures):
        raise InvalidWebhook("no signature is made with the secret")
    try:
        return WebhookEvent.model_validate_json(body)
    except ValidationError as error:
        raise InvalidWebhook("the body is no event") from error
