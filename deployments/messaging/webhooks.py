"""Build, sign and send webhooks, after Standard Webhooks 1.0.

A retry has the same ``webhook-id`` and the same body, but for the links to outputs: they are signed
anew for each try, since the first ones may have expired.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from pydantic_core import to_json

from db.ids import new_id
from db.object_store import ObjectStore
from db.outbox.webhook_events import STARTED
from db.outbox.webhook_secrets import PREFIX
from db.tables import Batch, Job
from deployments.batch_representation import batch_representation
from deployments.job_representation import job_representation
from deployments.messaging import http_client
from deployments.tracing import current_traceparent

SEND_TIMEOUT_S = 10.0
TEST_EVENT_TYPE = "webhook.test"

# The fields of a job at the start of its first attempt, whatever its row says by now.
_STARTED_FIELDS = {
    "status": "running", "progress": 0.0, "stage": "starting", "attempt": 1, "outputs": [],
    "error": None, "finished_at": None,
}  # fmt: skip


@dataclass(frozen=True)
class WebhookEvent:
    """One event. Every delivery of it has the same ``id``."""

    id: str
    type: str
    at: datetime
    data: dict[str, Any]

    def body(self) -> bytes:
        return to_json({"type": self.type, "timestamp": self.at, "data": self.data})


@dataclass(frozen=True)
class DeliveryResult:
    """The response's status, or None and the error; and the duration in milliseconds."""

    status: int | None
    milliseconds: int
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def job_event(
    job: Job, event_type: str, at: datetime, objects: ObjectStore, links_last: timedelta
) -> WebhookEvent:
    """Build the event of ``event_type`` that happened to ``job`` at the time ``at``."""
    data = job_representation(job, objects, links_last)
    if event_type == STARTED:
        at = job.started_at or at
        data |= {**_STARTED_FIELDS, "cost": {**data["cost"], "charged": None}}
    name = f"{job.id.partition('_')[2]}_{event_type.partition('.')[2]}"
    return WebhookEvent(f"msg_{name}", event_type, at, data)


def batch_event(batch: Batch, event_type: str, at: datetime) -> WebhookEvent:
    """Build the event of ``event_type`` that happened to ``batch`` at the time ``at``."""
    name = f"{batch.id.partition('_')[2]}_{event_type.partition('.')[2]}"
    return WebhookEvent(f"msg_{name}", event_type, at, batch_representation(batch))


def sample_event() -> WebhookEvent:
    """Build an event for testing a receiver."""
    data = {"message": "A test, asked for with POST /v1/webhooks/test."}
    return WebhookEvent(new_id("msg"), TEST_EVENT_TYPE, datetime.now(UTC), data)


def check_address(url: str, *, private: bool) -> None:
    """Check that webhooks may go to ``url``, as far as the address alone shows.

    ``private`` allows http, and addresses that are not public.

    Raises:
        RequestFailed: they may not; the message says why.
    """
    parts = http_client.parse_url(url)
    if parts.scheme != "https" and not private:
        raise http_client.RequestFailed("only https addresses are allowed")
    try:
        number = str(ip_address(parts.hostname or ""))
    except ValueError:
        return  # a host name: it is resolved when an event is sent
    if not private and not http_client.is_public(number):
        raise http_client.RequestFailed("only public addresses are allowed")


async def send(
    event: WebhookEvent, url: str, secrets: Sequence[str], *, private: bool
) -> DeliveryResult:
    """Send ``event`` once, signed with each of ``secrets``, within :data:`SEND_TIMEOUT_S`."""
    at, body, began = int(time.time()), event.body(), time.monotonic()
    signatures = " ".join(signature(secret, event.id, at, body) for secret in secrets)
    headers = {
        "content-type": "application/json",
        "webhook-id": event.id,
        "webhook-timestamp": str(at),
        "webhook-signature": signatures,
    }
    if (traceparent := current_traceparent()) is not None:
        headers["traceparent"] = traceparent
    status, error = None, None
    try:
        status = await http_client.post(url, body, headers, SEND_TIMEOUT_S, private=private)
    except http_client.RequestFailed as reason:
        error = str(reason)
    result = DeliveryResult(status, round((time.monotonic() - began) * 1000), error)
    if result.delivered or error is not None:
        return result
    return DeliveryResult(status, result.milliseconds, f"the server answered {status}")


def signature(secret: str, event_id: str, at: int, body: bytes) -> str:
    """The version and base64 of the HMAC-SHA256; ``at`` is the time of sending in Unix seconds."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, b"%s.%d.%s" % (event_id.encode(), at, body), hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"
