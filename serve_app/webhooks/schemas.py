"""Webhooks as clients write and read them."""

from datetime import datetime
from typing import Annotated, Literal

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


DeliveryStatus = Literal["pending", "delivered", "failed"]


class DeliveryView(View):
    """An event, and what became of it: kept for a week if delivered, for 30 days if it failed."""

    id: int
    type: str = Field(examples=["job.succeeded"])
    job_id: str | None
    batch_id: str | None
    status: DeliveryStatus = Field(description="`failed`: it was tried for a day, and given up.")
    attempts: int
    error: str | None = Field(description="What came of the last attempt that failed.")
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="Of one that is pending.")
    ended_at: datetime | None
