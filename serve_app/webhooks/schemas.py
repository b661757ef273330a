"""Webhooks as clients write and read them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from serve_app.http.schemas import Body, View

WebhookUrl = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[\x21-\x7e]+$")]


class SecretView(View):
    """What your webhooks are signed with."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    created_at: datetime
    previous_until: datetime | None = Field(
        description="Until then the secret before this one signs beside it."
    )


class TryBody(Body):
    """Where to send a test event."""

    url: WebhookUrl


class TriedView(View):
    """What came back; ``error`` says why it would be sent again, were it no test."""

    delivered: bool = Field(description="Whether the answer was 2xx.")
    status_code: int | None = Field(description="Null when there was no answer.")
    milliseconds: int
    error: str | None
