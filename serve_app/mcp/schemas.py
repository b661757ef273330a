"""What tools answer: the part of the HTTP API's answers that an agent needs, and no more of it.

An agent reads every word. A job's input, which the agent wrote itself, is therefore left out, and
so are the fields that only programs go by. Fields that a newer service adds are ignored.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of the answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class GeneratorSummary(Answer):
    """A generator, without its input schema."""

    name: str
    title: str
    description: str
    eta_s: float | None = Field(
        description="About how many seconds a job submitted now takes; null if unknown."
    )


class Generators(Answer):
    """Every generator of this installation."""

    generators: list[GeneratorSummary]


class Generator(GeneratorSummary):
    """A generator, with all that is needed to write an input for it."""

    input_schema: dict[str, Any] = Field(description="JSON Schema of a job's input.")
    example: dict[str, Any] | None = Field(
        description="An input that is valid; put real URLs or file ids in the place of its files."
    )

    @classmethod
    def from_api(cls, view: dict[str, Any]) -> Self:
        """Read the API's answer; its schema brings the example along."""
        schema = dict(view["input_schema"])
        example, *_ = schema.pop("examples", None) or [None]
        return cls.model_validate({**view, "input_schema": schema, "example": example})


class PriceLine(Answer):
    """One line of a quote; discounts are below zero."""

    item: str
    quantity: int
    credits: int


class Quote(Answer):
    """What a job would cost, in credits."""

    credits: int
    breakdown: list[PriceLine]


class Output(Answer):
    """A file that a job made."""

    name: str
    kind: str
    content_type: str
    bytes: int
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    url: str = Field(description="Signed: works with a plain GET, without a key, until expires_at.")
    expires_at: str


class JobError(Answer):
    """Why a job failed. Failed jobs cost nothing."""

    code: str
    title: str
    detail: str
    retryable: bool = Field(description="Whether the same input may work another time.")


class JobSummary(Answer):
    """A job, without its files."""

    id: str
    generator: str
    status: str = Field(description="queued, running, succeeded, failed or canceled.")
    progress: float = Field(description="0 to 1.")
    stage: str
    credits_quoted: int = Field(description="Held when the job was created.")
    credits_charged: int | None = Field(description="Null until the job has ended.")
    created_at: str

    @classmethod
    def from_api(cls, view: dict[str, Any]) -> Self:
        """Read the API's answer."""
        cost = view["cost"]
        credits = {"credits_quoted": cost["estimated"], "credits_charged": cost["charged"]}
        return cls.model_validate({**view, **credits})


class Job(JobSummary):
    """A job."""

    queue_position: int | None = Field(
        description="How many jobs come before it; null if it does not wait, or that is unknown."
    )
    seed: int
    outputs: list[Output]
    error: JobError | None


class Jobs(Answer):
    """A page of jobs, newest first."""

    jobs: list[JobSummary]
    next: str | None = Field(description="Pass it as `after` for the next page; null: none.")


class UploadedFile(Answer):
    """A stored file; an input names it as {"file_id": id}."""

    id: str
    name: str
    content_type: str
    bytes: int


class Balance(Answer):
    """The account's credits."""

    balance: int = Field(description="Can be spent.")
    held: int = Field(description="Set aside for jobs that have not ended.")
    debt: int = Field(description="Owed; the next credits that come pay it.")
