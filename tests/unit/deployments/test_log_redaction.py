"""No secret reaches the log, whatever field or text it comes in."""

import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from deployments.log_config import configure_logging
from deployments.log_redaction import REDACTED, clean, redact

KEY = "atl_Zm9vYmFyYmF6cXV4cXV1eGNvcmdl-_x"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJlLW9mLWl0"


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        TOKEN,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "sk_live_51Habcdefghijk",
        "rk_test_51Habcdefghijk",
    ],
)
def test_a_secret_is_taken_out_of_any_text(secret: str) -> None:
    for text in (
        secret,
        f"the key {secret} is wrong",
        f'{{"k": "{secret}"}}',
        [secret],
        {1: secret},
    ):
        assert secret not in json.dumps(clean(text))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://atelier:hunter2@db:5432/a", f"postgresql://{REDACTED}@db:5432/a"),
        ("redis://:hunter2@redis:6379/0", f"redis://{REDACTED}@redis:6379/0"),
        ("http://s3/a/b.png?X-Amz-Date=1&X-Amz-Signature=0af3", f"http://s3/a/b.png?X-Amz-Date=1&X-Amz-Signature={REDACTED}"),
        ("/fal/storage/upload?token=abc.def", f"/fal/storage/upload?token={REDACTED}"),
        ("Authorization: Bearer abcdefghijklmnopqrst", f"Authorization: {REDACTED}"),
    ],
)  # fmt: skip
def test_the_rest_of_a_text_stays(text: str, left: str) -> None:
    assert clean(text) == left


@pytest.mark.parametrize(
    "name", ["password", "api_key", "Authorization", "refresh_token", "prompt", "S3_SECRET_KEY"]
)
def test_a_field_with_a_secrets_name_is_taken_out(name: str) -> None:
    assert redact(None, "info", {name: "whatever"}) == {name: REDACTED}
    assert redact(None, "info", {"body": {name: "whatever"}}) == {"body": {name: REDACTED}}


def test_what_is_no_secret_stays() -> None:
    event = {
        "event": "request", "path": "/v1/jobs/job_01M8MKMZ1DMMS9PHFFXA7YQW63", "tokens": 12,
        "user_id": "usr_01M8MKMYPG34J3JSNJ2F0RGQTJ", "prompt_tokens": 7, "api_key_id": "key_1",
        "input_token_count": 3, "password": None, "parts": [1, 2.5, None, True],
    }  # fmt: skip
    assert redact(None, "info", dict(event)) == event


@given(st.text(), st.text())
def test_a_key_is_found_wherever_it_stands(before: str, after: str) -> None:
    assert KEY not in clean(f"{before} {KEY} {after}")


def test_a_traceback_is_cleaned_too(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    try:
        raise ValueError(f"{KEY} is wrong")
    except ValueError:
        structlog.get_logger().exception("failed")
    line = capfd.readouterr().err
    assert "Traceback" in line
    assert KEY not in line
