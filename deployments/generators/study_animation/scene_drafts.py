"""Scenes before they are checked, and scenes of plain sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from models.formulas.inline import joined_at_formulas
from models.schemas.scene_base import MAX_LINE
from models.text.phrases import split_text
from models.text.sentences import sentences

_MOST_SENTENCES = 4
_T = TypeVar("_T")


@dataclass(frozen=True)
class Draft:
    """A scene of the lines ``first`` to ``last``, and what is ``said`` in it; ``says_heading``:
    nothing but the heading, for want of other words."""

    first: int
    last: int
    fields: dict[str, Any]
    said: str
    says_heading: bool = False

    @property
    def scene(self) -> dict[str, Any]:
        """The scene as the schema reads it."""
        lines = {"source_lines": (self.first, self.last)}
        return self.fields | {"narration": self.said} | lines

    def saying(self, said: str, last: int) -> Draft:
        """The draft with other words, which reach to the line ``last``."""
        return replace(self, said=said, last=max(last, self.last), says_heading=False)


@dataclass(frozen=True)
class Prose:
    """Text of the lines ``first`` to ``last`` that is to be said."""

    first: int
    last: int
    text: str


def prose_drafts(prose: Iterable[Prose]) -> Iterable[Draft]:
    """Bullets of sentences, a few a scene."""
    pieces = [
        Prose(part.first, part.last, piece)
        for part in prose
        for sentence in whole_sentences(part.text)
        for piece in split_text(sentence, MAX_LINE)
    ]
    for part in chunks(pieces, _MOST_SENTENCES):
        texts = [piece.text for piece in part]
        yield Draft(
            part[0].first, part[-1].last, {"type": "bullets", "bullets": texts}, " ".join(texts)
        )


def whole_sentences(text: str) -> list[str]:
    """The sentences of ``text``; signs that are no words stay with the sentence before them."""
    pieces = list(joined_at_formulas([sentence.text for sentence in sentences(text)]))
    if "".join("".join(pieces).split()) == "".join(text.split()):
        return pieces
    return [text]


def chunks(parts: list[_T], most: int) -> list[list[_T]]:
    """``parts`` in groups of at most ``most``, of like length."""
    if not parts:
        return []
    count = -(-len(parts) // most)
    size = -(-len(parts) // count)
    return [parts[start : start + size] for start in range(0, len(parts), size)]
