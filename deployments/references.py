"""The types by which a request refers to media, personas and finished jobs, at any depth.

The submit checks that they exist and belong to the user; the runner downloads them before the
generator begins.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import unquote_to_bytes

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from deployments.contract import BadInput

# The most bytes that a file of an input may have.
MAX_BYTES = {"image": 20_000_000, "audio": 50_000_000}
# 20 MB of a picture take 27 MB as base64.
MAX_DATA_URI_LENGTH = 28_000_000
MAX_URL_LENGTH = 2048
# Before the comma: the media type and its parameters.
MAX_HEAD_LENGTH = 1000
_DATA_URI_HEAD = re.compile(r'\s*data:((?:[^",]|"[^"]*")*),', re.IGNORECASE)
_TO_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n\f"
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/_=% \t\r\n\f-]")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_EARLY_PADDING = re.compile(r"=(?=[= \t\r\n\f]*[^= \t\r\n\f])")
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


def _check_web_address(value: str) -> str:
    address = value.strip()
    if not address.lower().startswith(("http://", "https://")):
        raise PydanticCustomError(
            "invalid_url",
            "An address begins with https:// or http://; put a file itself into data",
        )
    return address


def _check_data_uri(value: str) -> str:
    # The rest is looked at once it is decoded.
    if value[:100].lstrip()[:5].lower() != "data:":
        raise PydanticCustomError(
            "unreadable_data",
            "A data URI begins with its media type, data:image/png;base64,...;"
            " put an address into url, and the id of a file into file_id",
        )
    return value


class Media(BaseModel):
    """A file in one of three forms: uploaded before, somewhere on the web, or in the request."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]

    file_id: FileId | None = Field(
        default=None,
        description="A file uploaded before.",
        examples=["file_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"],
    )
    url: (
        Annotated[
            str,
            Field(
                max_length=MAX_URL_LENGTH,
                json_schema_extra={"pattern": r"^\s*[hH][tT][tT][pP][sS]?://"},
            ),
            AfterValidator(_check_web_address),
        ]
        | None
    ) = Field(
        default=None,
        description="A public address; fetched when the job starts.",
        examples=["https://example.com/mira.png"],
    )
    data: (
        Annotated[
            str,
            Field(
                max_length=MAX_DATA_URI_LENGTH,
                json_schema_extra={"pattern": r"^\s*[dD][aA][tT][aA]:"},
            ),
            AfterValidator(_check_data_uri),
        ]
        | None
    ) = Field(
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
    """A picture: PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, HEIC or Radiance HDR.

    An animated one gives its first frame.
    """

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
    """Decode a base64 data URI in any of its usual spellings.

    Blanks and line breaks are skipped, padding may be missing, the URL-safe alphabet and
    percent-encoding are understood, and the media type may have parameters.

    Raises:
        BadInput: ``data`` is not one; the message says what is wrong, and at which character.
    """
    head = _DATA_URI_HEAD.match(data, 0, MAX_HEAD_LENGTH)
    if head is None:
        raise _unreadable("it begins otherwise, or the comma before the data is missing")
    if head[1].rpartition(";")[2].strip().lower() != "base64":
        raise _unreadable(f";base64 is missing before the comma at character {head.end()}")
    try:
        body = data[head.end() :].encode("ascii")
    except UnicodeEncodeError:
        raise _unreadable(_find_fault(data, head.end())) from None
    if b"%" in body:
        body = unquote_to_bytes(body)
    body = body.translate(_TO_STANDARD_ALPHABET, _BLANKS).rstrip(b"=")
    if not body:
        raise _unreadable("there is nothing after the comma")
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(_find_fault(data, head.end(), len(body))) from None


def _unreadable(words: str) -> BadInput:
    return BadInput(f"A data URI reads data:image/png;base64,...: {words}.", "unreadable_data")


def _find_fault(data: str, start: int, length: int = 0) -> str:
    """Say what is wrong with the base64 that begins at ``start`` and has ``length`` letters."""
    if (found := _NOT_BASE64.search(data, start)) is not None:
        shown = f" ({found[0]})" if found[0].isascii() and found[0].isprintable() else ""
        place = f"character {found.start() + 1}"
        return f"{place} is U+{ord(found[0]):04X}{shown}, which is not of base64"
    if (found := _BARE_PERCENT.search(data, start)) is not None:
        return f"the % at character {found.start() + 1} begins no percent-encoding"
    if (found := _EARLY_PADDING.search(data, start)) is not None:
        return f"the padding (=) at character {found.start() + 1} stands before the end of the data"
    if length % 4 == 1:
        lost = ", or a + has become a blank" if " " in data[start:].strip() else ""
        return f"its {length} letters of base64 are no whole number of bytes: one is missing{lost}"
    return "what follows the comma is not base64"
