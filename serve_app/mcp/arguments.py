"""The types of the tools' arguments. An agent reads the descriptions; the bounds are the API's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

JobId = Annotated[str, Field(pattern=r"^job_[0-9A-Z]{26}$", description="The id of a job: job_...")]
GeneratorName = Annotated[
    str, Field(pattern=r"^[a-z0-9_]{1,64}$", description="A name that list_generators tells.")
]
JobInput = Annotated[
    dict[str, Any],
    Field(
        description="What the generator's input_schema says (get_generator). A picture or a sound"
        ' is {"url": "https://..."}, {"file_id": "file_..."} or'
        ' {"data": "data:image/png;base64,..."}.'
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A name of your own for this order, without blanks. If the call is repeated"
        " with it within 24 hours, the job of the first call is returned, and charged once.",
    ),
]
Priority = Annotated[
    Literal["high", "normal", "low"],
    Field(description="Which of the account's own jobs start first."),
]
TimeoutSeconds = Annotated[
    float,
    Field(
        ge=0,
        le=300,
        description="How long to wait, in seconds. Many clients give up after 60: wait again then.",
    ),
]
Status = Annotated[
    Literal["queued", "running", "succeeded", "failed", "canceled"] | None,
    Field(description="Only jobs of this status."),
]
PageSize = Annotated[int, Field(ge=1, le=50, description="How many jobs to list.")]
After = Annotated[
    str | None,
    Field(pattern=r"^job_[0-9A-Z]{26}$", description="The `next` of the page before this one."),
]
OutputName = Annotated[
    str | None,
    Field(min_length=1, max_length=255, description="The name of one output; all if left out."),
]
Base64Data = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1_000_000,  # a message to /mcp has at most 1 MiB
        description="The file in base64, or a data URI (data:image/png;base64,...); at most 1 MB."
        " Name larger ones by their URL.",
    ),
]
FileName = Annotated[str, Field(min_length=1, max_length=255, description="What to call it.")]
Purpose = Annotated[
    Literal["input", "reference"],
    Field(description="`input` for a job's input, `reference` for a picture of a persona."),
]

Prompt = Annotated[str, Field(min_length=1, max_length=2000, description="What the picture shows.")]
Side = Annotated[
    int | None,
    Field(
        ge=64,
        le=2048,
        multiple_of=8,
        description="Pixels. The installed model's own size if left out; it may allow less.",
    ),
]
Count = Annotated[int, Field(ge=1, le=8, description="How many pictures; each is charged.")]
Seed = Annotated[
    int | None,
    Field(ge=0, le=2**32 - 1, description="The same seed and prompt give the same picture."),
]
NegativePrompt = Annotated[
    str | None,
    Field(
        max_length=2000,
        description="What the picture should not show. Some models refuse it.",
    ),
]
Format = Annotated[Literal["png", "jpeg", "webp"], Field(description="The file's format.")]
