"""A persona as clients write and read it."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from deployments.references import FileId
from serve_app.http.schemas import Body, View

MAX_PICTURES = 8
CONSENT = "The person shown has agreed to pictures and films being made of them."


def _distinct(file_ids: tuple[FileId, ...]) -> tuple[FileId, ...]:
    if len(set(file_ids)) < len(file_ids):
        raise PydanticCustomError("duplicate", "A file is named twice")
    return file_ids


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)]
FileIds = Annotated[
    tuple[FileId, ...], Field(min_length=1, max_length=MAX_PICTURES), AfterValidator(_distinct)
]
Consent = Annotated[Literal[True], Field(description=f"true says: {CONSENT}")]


class PersonaBody(Body):
    """Somebody to save."""

    name: Name = Field(examples=["Mira"])
    description: Description = Field(
        default="",
        description="The person in words, as a prompt would put it.",
        examples=["a woman with red hair"],
    )
    file_ids: FileIds = Field(
        description="Pictures of that one person, uploaded before. The persona takes over those"
        " of purpose `reference` and copies others."
    )
    consent: Consent


class PersonaChange(Body):
    """What to change; what is left out stays. Other pictures need consent anew."""

    name: Name | None = None
    description: Description | None = None
    file_ids: FileIds | None = None
    consent: Consent | None = None

    @model_validator(mode="after")
    def _consented(self) -> Self:
        if self.file_ids is not None and self.consent is not True:
            raise PydanticCustomError("consent_missing", "Other pictures need consent: true")
        return self


class PictureView(View):
    """A picture of a persona; ``url`` is signed and works until ``expires_at``."""

    file_id: str
    content_type: str
    bytes: int
    url: str
    expires_at: datetime


class ConsentView(View):
    """When it was said, in which words, that the person shown agrees."""

    statement: str
    at: datetime


class PersonaView(View):
    """Somebody saved; named in inputs by ``persona_id``."""

    id: str
    object: Literal["persona"] = "persona"
    name: str
    description: str
    images: list[PictureView]
    consent: ConsentView
    created_at: datetime
    updated_at: datetime
