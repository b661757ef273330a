"""Write a sentence as a person would read it aloud, and keep track of its words.

English has rules of its own (:mod:`models.text.english_aloud`). What eSpeak NG reads well by
itself, such as whole numbers, stays as it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from models.text.english_aloud import RULES
from models.text.languages import primary
from models.text.sentences import Span


class ReadAloud(NamedTuple):
    """What is read; ``origins`` has for each letter the position that it stands for in what is
    written. They never fall."""

    text: str
    origins: tuple[int, ...]

    def heard(self, span: Span) -> Span:
        """Return where the written characters ``span`` are in ``text``."""
        return Span(bisect_left(self.origins, span.start), bisect_left(self.origins, span.end))


def read_aloud(text: str, language: str) -> ReadAloud:
    """Return how ``text``, one sentence in ``language`` (BCP 47), is read."""
    read = ReadAloud(text, tuple(range(len(text))))
    for pattern, reading in RULES if primary(language) in ("en", "eng") else ():
        read = _substitute(read, pattern, reading)
    return read


def _substitute(
    read: ReadAloud, pattern: re.Pattern[str], reading: str | Callable[[re.Match[str]], str]
) -> ReadAloud:
    text, last = "", 0
    origins: list[int] = []
    for match in pattern.finditer(read.text):
        new = match.expand(reading) if isinstance(reading, str) else reading(match)
        text += read.text[last : match.start()] + new
        origins += read.origins[last : match.start()]
        origins += _origins(match, new, read.origins)
        last = match.end()
    return ReadAloud(text + read.text[last:], (*origins, *read.origins[last:]))


def _origins(match: re.Match[str], new: str, origins: tuple[int, ...]) -> list[int]:
    """Words of ``new`` stand for those of the match in their order, the last for all that is left.

    A separator stands for the word before it.
    """
    written = [match.start() + word.start() for word in re.finditer(r"\S+", match.group())]
    starts = [origins[place] for place in written or [match.start()]]
    found, number = [], -1
    for before, letter in zip(" " + new, new, strict=False):
        number += before.isspace() and not letter.isspace()
        found.append(starts[min(max(number, 0), len(starts) - 1)])
    return found
