"""The few lines with which docs/api.md checks a webhook's signature do check it."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.messaging.webhooks import signature

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
BODY = b'{"type":"job.succeeded"}'


@pytest.fixture
def verified() -> Callable[..., bool]:
    (lines,) = re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(lines, names)
    found: Callable[..., bool] = names["verified"]
    return found


def headers(*secrets: str, at: int) -> dict[str, str]:
    signatures = " ".join(signature(secret, "msg_1", at, BODY) for secret in secrets)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signatures,
    }


def test_what_we_sign_is_verified(verified: Callable[..., bool]) -> None:
    now = int(time.time())
    assert verified(SECRET, headers(SECRET, at=now), BODY)
    assert verified(SECRET, headers(OTHER, SECRET, at=now), BODY)


def test_what_was_altered_forged_or_kept_back_is_not(verified: Callable[..., bool]) -> None:
    now = int(time.time())
    assert not verified(SECRET, headers(SECRET, at=now), BODY + b" ")
    assert not verified(SECRET, headers(OTHER, at=now), BODY)
    assert not verified(SECRET, headers(SECRET, at=now) | {"webhook-id": "msg_2"}, BODY)
    assert not verified(SECRET, headers(SECRET, at=now - 3600), BODY)
