"""What a webhook says, and how it is signed and sent: Standard Webhooks 1.0.

Whoever sends it again sends the same ``webhook-id`` and the same body but for the links to outputs,
which are signed anew: those of the first try may have expired by the last.
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
from db.tables import Job
from deployments.job_representation import job_representation
from deployments.messaging import http_client

SEND_TIMEOUT_S = 10.0
TEST_EVENT_TYPE = "webhook.test"

# A job when its first attempt began, whatever became of it since.
_STARTED_FIELDS = {
    "status": "running", "progress": 0.0, "stage": "starting", "attempt": 1, "outputs": [],
    "error": None, "finished_at": None,
}  # fmt: skip


@dataclass(frozen=True)
class WebhookEvent:
    """``id`` tells an event from others, and not one delivery of it from another."""

    id: str
    type: str
    at: datetime
    data: dict[str, Any]

    def body(self) -> bytes:
        return to_json({"type": self.type, "timestamp": self.at, "data": self.data})


@dataclass(frozen=True)
class DeliveryResult:
    """What came back: a status, or none and the reason; and after how many milliseconds."""

    status: int | None
    milliseconds: int
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def job_event(
    job: Job, event_type: str, at: datetime, objects: ObjectStore, links_last: timedelta
) -> WebhookEvent:
    """The event of ``event_type`` that happened to ``job`` at that time."""
    data = job_representation(job, objects, links_last)
    if event_type == STARTED:
        data |= {**_STARTED_FIELDS, "cost": {**data["cost"], "charged": None}}
    name = f"{job.id.partition('_')[2]}_{event_type.partition('.')[2]}"
    return WebhookEvent(f"msg_{name}", event_type, at, data)


def sample_event() -> WebhookEvent:
    """One that nothing happened for, to try a receiver with."""
    data = {"message": "A test, asked for with POST /v1/webhooks/test."}
    return WebhookEvent(new_id("msg"), TEST_EVENT_TYPE, datetime.now(UTC), data)


def check_address(url: str, *, private: bool) -> None:
    """Whether events may be sent there, as far as the address alone tells. ``private`` allows http
    and addresses that are not public.

    Raises:
        web.NotReached: with the reason.
    """
    parts = http_client.parse_url(url)
    if parts.scheme != "https" and not private:
        raise http_client.RequestFailed("only https addresses are allowed")
    try:
        number = str(ip_address(parts.hostname or ""))
    except ValueError:
        return  # a name; it is looked up when something is sent there
    if not private and not http_client.is_public(number):
        raise http_client.RequestFailed("only public addresses are allowed")


async def send(
    event: WebhookEvent, url: str, secrets: Sequence[str], *, private: bool
) -> DeliveryResult:
    """Send it once, signed with each of ``secrets``; takes :data:`SEND_WITHIN_S` at most."""
    at, body, began = int(time.time()), event.body(), time.monotonic()
    signatures = " ".join(signature(secret, event.id, at, body) for secret in secrets)
    headers = {
        "content-type": "application/json",
        "webhook-id": event.id,
        "webhook-timestamp": str(at),
        "webhook-signature": signatures,
    }
    status, error = None, None
    try:
        status = await http_client.post(url, body, headers, SEND_TIMEOUT_S, private=private)
    except http_client.RequestFailed as reason:
        error = str(reason)
    receipt = DeliveryResult(status, round((time.monotonic() - began) * 1000), error)
    if receipt.delivered or error is not None:
        return receipt
    return DeliveryResult(status, receipt.milliseconds, f"the server answered {status}")


def signature(secret: str, event_id: str, at: int, body: bytes) -> str:
    """Version and base64 of the HMAC-SHA256; ``at`` is the time of the sending (Unix seconds)."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, b"%s.%d.%s" % (event_id.encode(), at, body), hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"
