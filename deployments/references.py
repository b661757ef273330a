"""The types by which a request refers to media, personas and finished jobs, at any depth.

The submit checks that they exist and belong to the user; the runner downloads them before the
generator begins.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from deployments.contract import BadInput

# The most bytes that a file of an input may have.
MAX_BYTES = {"image": 20_000_000, "audio": 50_000_000}
# 20 MB of a picture take 27 MB as base64.
MAX_DATA_URI_LENGTH = 28_000_000
MAX_URL_LENGTH = 2048
_ULID = "[0-9A-HJKMNP-TV-Z]{26}"


class _Id(str):
    """An id with a type of its own: a ``str`` with a fixed prefix."""

    prefix: ClassVar[str]

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(pattern=f"^{cls.prefix}_{_ULID}$", max_length=40)
        )


class FileId(_Id):
    """A file of the sender's, from ``POST /v1/files`` or the outputs of a job."""

    prefix = "file"


class PersonaId(_Id):
    """A persona of the sender's, from ``POST /v1/personas``."""

    prefix = "per"


class JobId(_Id):
    """A job of the sender's that succeeded; its outputs can be used again."""

    prefix = "job"


class Media(BaseModel):
    """A file in one of three forms: uploaded before, somewhere on the web, or in the request."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]

    file_id: FileId | None = Field(
        default=None,
        description="A file uploaded before.",
        examples=["file_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"],
    )
    url: Annotated[str, Field(max_length=MAX_URL_LENGTH, pattern="^https?://")] | None = Field(
        default=None,
        description="A public address; fetched when the job starts.",
        examples=["https://example.com/mira.png"],
    )
    data: Annotated[str, Field(max_length=MAX_DATA_URI_LENGTH, pattern="^data:")] | None = Field(
        default=None,
        description="The file itself as a data URI, base64.",
        examples=["data:image/png;base64,iVBORw0KGgo="],
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if sum(form is not None for form in (self.file_id, self.url, self.data)) != 1:
            raise PydanticCustomError(
                "conflicting_fields", "Give exactly one of file_id, url and data"
            )
        return self


class ImageInput(Media):
    """A picture: PNG, JPEG, WebP, GIF (its first frame), BMP or TIFF."""

    kind = "image"


class AudioInput(Media):
    """A sound: WAV, MP3, AAC, FLAC or Ogg."""

    kind = "audio"


@dataclass(frozen=True)
class Reference:
    """A reference in a request: ``target`` at ``path``, such as ``("garments", 0, "image")``."""

    path: tuple[str | int, ...]
    target: Media | FileId | PersonaId | JobId

    @property
    def name(self) -> str:
        """The path in dotted form: ``garments.0.image``."""
        return ".".join(map(str, self.path))


def find_references(request: BaseModel) -> list[Reference]:
    """List the references of ``request`` in the order of its fields."""
    return list(_walk(request, ()))


def _walk(value: Any, path: tuple[str | int, ...]) -> Iterator[Reference]:
    if isinstance(value, Media | _Id):
        yield Reference(path, value)  # type: ignore[arg-type]
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), (*path, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*path, key))


def decode_data_uri(data: str) -> bytes:
    """Decode a base64 data URI.

    Raises:
        BadInput: ``data`` is not one.
    """
    head, comma, body = data.partition(",")
    if not comma or not head.endswith(";base64"):
        raise BadInput("A data URI reads data:image/png;base64,...", "unreadable_data")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput("The data URI is not valid base64.", "unreadable_data") from error
