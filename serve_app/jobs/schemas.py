"""A job as clients write and read it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError, PydanticKnownError, to_json

from deployments.job_log import Level
from serve_app.http.schemas import Body, View, Whole
from serve_app.webhooks.schemas import WebhookUrl

Status = Literal["queued", "running", "succeeded", "failed", "canceled"]
Priority = Literal["high", "normal", "low"]
Scalar = str | Annotated[float, Field(allow_inf_nan=False)] | int | bool | None

METADATA_BYTES = 4096
METADATA_KEYS = 16
INPUT_KEYS = 100


def _of_few_keys(most: int) -> BeforeValidator:
    """Refuse an object of many keys as one fault: each of them may have faults of its own."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > most:
            raise PydanticKnownError(
                "too_long",
                {"field_type": "Object", "max_length": most, "actual_length": len(value)},
            )
        return value

    return BeforeValidator(check)


def _bounded(metadata: dict[str, Scalar]) -> dict[str, Scalar]:
    if len(to_json(metadata)) > METADATA_BYTES:
        raise PydanticCustomError(
            "metadata_too_large",
            "Metadata may take {limit} bytes as JSON",
            {"limit": METADATA_BYTES},
        )
    return metadata


class SubmitBody(Body):
    """What to make."""

    generator: str = Field(max_length=64, description="A name from /v1/generators.")
    input: Annotated[dict[str, Any], _of_few_keys(INPUT_KEYS)] = Field(
        description="What the generator's `input_schema` says.",
        examples=[{"prompt": "a red circle on a blue background", "seed": 7}],
    )
    priority: Priority = "normal"
    metadata: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=64)], Scalar],
        Field(max_length=METADATA_KEYS),
        _of_few_keys(METADATA_KEYS),
        AfterValidator(_bounded),
    ] = Field(default={}, description="Yours: up to 16 keys, kept and given back with the job.")
    webhook_url: WebhookUrl | None = Field(
        default=None,
        description="Told when the job starts and when it ends, signed: see /v1/webhooks/secret.",
        examples=["https://example.com/hooks"],
    )


class RetryBody(Body):
    """What to do differently."""

    scene: Whole | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Of a film of scenes: the one to make anew, counted from 1; the others stay.",
        examples=[2],
    )


class OutputView(View):
    """A file the job made; ``url`` is signed, works with plain GET until ``expires_at``."""

    name: str
    kind: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    duration_s: float | None
    sha256: str
    url: str
    expires_at: datetime


class ErrorView(View):
    """Why a job failed; ``retryable`` if the same input may work another time."""

    code: str
    title: str
    detail: str
    retryable: bool


class PriceLineView(View):
    """One line of a quote; discounts are below zero."""

    item: str
    quantity: int
    credits: int


class CostView(View):
    """Credits: quoted at submit and held; charged when it ended (null before).

    ``breakdown`` is the quote; no later change of prices alters it.
    """

    estimated: int
    charged: int | None
    unit: Literal["credit"] = "credit"
    breakdown: list[PriceLineView]
    price_version: str


class JobView(View):
    """A job."""

    id: str
    object: Literal["job"] = "job"
    generator: str
    status: Status
    progress: float = Field(description="0 to 1.")
    stage: str
    queue_position: int | None = Field(
        description="How many jobs are served before it; null when it does not wait or is unknown."
    )
    input: dict[str, Any]
    seed: int
    attempt: int
    outputs: list[OutputView]
    error: ErrorView | None
    cost: CostView
    priority: Priority
    batch_id: str | None = None
    cached_from: str | None = Field(
        default=None,
        description="The job whose outputs these are copies of: it had the same input and seed.",
    )
    cancel_at: datetime | None = Field(
        default=None, description="When it is canceled unless it has ended (`Cancel-After`)."
    )
    webhook_url: str | None
    metadata: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class LogLineView(View):
    """A line of a job's log."""

    time: datetime
    level: Level
    message: str
    attempt: int


class MetadataView(View):
    """How a job is made: stages with seconds, models, seed, and the lines of its log.

    While it runs, they are what is known so far, and the stage at work has no `seconds` yet.
    """

    job_id: str
    metadata: dict[str, Any]
    logs: list[LogLineView]
