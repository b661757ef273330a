"""What arrives is believed if it is signed as Standard Webhooks has it."""

import base64
import hashlib
import hmac
import time
from typing import Any

import pytest

from atelier_client import InvalidWebhook, verify_webhook

KEY = b"thirty-two bytes of a secret...."
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"type": "job.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": {"id": "job_1"}}'


def headers(body: bytes = BODY, age_s: float = 0, key: bytes = KEY) -> dict[str, str]:
    sent = str(int(time.time() - age_s))
    mac = hmac.new(key, b"msg_1." + sent.encode() + b"." + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": sent,
        "Webhook-Signature": f"v1,b3RoZXI= {signature}",
    }


def test_a_signed_event_is_returned() -> None:
    event = verify_webhook(SECRET, headers(), BODY)
    assert (event.type, event.data) == ("job.succeeded", {"id": "job_1"})
    assert verify_webhook(SECRET, headers(age_s=3600), BODY, tolerance_s=7200) == event


@pytest.mark.parametrize(
    ("signed", "changed", "body", "reason"),
    [
        ({}, {}, BODY + b" ", "no signature"),
        ({"key": b"another"}, {}, BODY, "no signature"),
        ({"age_s": 400}, {}, BODY, "seconds ago"),
        ({"age_s": -400}, {}, BODY, "seconds ago"),
        ({}, {"Webhook-Id": ""}, BODY, "header"),
        ({}, {"Webhook-Timestamp": "now"}, BODY, "header"),
        ({}, {"Webhook-Signature": "ünsigned"}, BODY, "no signature"),
        ({"body": b"no event"}, {}, b"no event", "no event"),
    ],
)
def test_all_else_is_refused(
    signed: dict[str, Any], changed: dict[str, str], body: bytes, reason: str
) -> None:
    """Signed here: tests are collected long before they run."""
    sent = {**headers(**signed), **changed}
    with pytest.raises(InvalidWebhook, match=reason):
        verify_webhook(SECRET, {name: value for name, value in sent.items() if value}, body)


def test_a_secret_that_is_none_is_named() -> None:
    with pytest.raises(InvalidWebhook, match="secret"):
        verify_webhook("whsec_x", headers(), BODY)
