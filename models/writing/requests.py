"""Requests for written texts, and why one cannot be written. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

MAX_SOURCE_CHARACTERS = 100_000  # characters


class TextError(ValueError):
    """The requested text cannot be written."""


class SourceTooLong(TextError):
    """The source exceeds the writer's limit or the model's context window."""


class LanguageModelRequired(TextError):
    """The schema needs a language model; without one only outlines and storyboards are possible."""


class InvalidOutput(TextError):
    """The JSON matches the schema's structure, but one of the schema's validators rejects it."""


@dataclass(frozen=True)
class TextRequest:
    """A text to write.

    ``source`` is Markdown, plain text or a topic. ``instructions`` tell the model what to make of
    it; the outline extractor ignores them and finds sentences by ``language`` (BCP 47) of the
    source. Temperature 0 selects the most likely token each time.
    """

    instructions: str
    source: str
    schema: type[BaseModel]
    max_tokens: int = 4096
    seed: int = 0
    temperature: float = 0.7
    language: str = "en"


@dataclass(frozen=True)
class WriterResult:
    """The written value; ``truncated`` tells that the token budget cut it short."""

    value: BaseModel
    backend: Literal["model", "outline"]
    model: str
    truncated: bool = False


class SchemaNotSupported(ValueError):
    """A part of the schema has no bounded length; add limits or remove the part."""


class BudgetTooSmall(ValueError):
    """The budget cannot guarantee even the shortest JSON of the schema; request more tokens."""
