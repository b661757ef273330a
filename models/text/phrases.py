"""Split long text into pieces at sentences, phrases or words; nothing is lost."""

from __future__ import annotations

import re
import unicodedata

from models.formulas.inline import INLINE

# From the best place to part a text to the worst.
_BOUNDARIES = tuple(
    re.compile(pattern)
    for pattern in (
        r"[.!?…؟۔।॥][\"'”’»)\]]*(?=\s)|[。！？｡][”’」』）]*",
        r"[;:](?=\s)|[；：]|(?<=\s)[–—](?=\s)",
        r"[,،](?=\s)|[，、]",
        r"\s+",
    )
)
_LEAST = 0.4  # of the length: a boundary before it would leave a crumb
_JOINERS = "\u200d\u200c"


def split_text(text: str, longest: int) -> list[str]:
    """Return ``text`` in pieces of at most ``longest`` characters; wide ones count twice.

    A piece ends with a sentence where it can, else with a phrase, else with a word; formulas stay
    whole. Only a word
    that is longer than ``longest`` is cut. White space at the ends of pieces is dropped.
    """
    pieces: list[str] = []
    rest = text.strip()
    while (count := _fitting(rest, longest)) < len(rest):
        at = _boundary(rest, count)
        pieces.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*pieces, rest] if rest else pieces


def columns(text: str) -> int:
    """Return how many columns ``text`` takes: wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _fitting(text: str, longest: int) -> int:
    """Return how many characters from the beginning of ``text`` take ``longest`` columns."""
    if len(text) <= longest // 2:
        return len(text)
    room = longest
    for count, letter in enumerate(text):
        room -= 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if room < 0:
            return max(count, 1)
    return len(text)


def _boundary(text: str, longest: int) -> int:
    window = text[: longest + 1]  # what follows the boundary may be a space
    whole = [found.span() for found in INLINE.finditer(text)]
    ends: list[int] = []
    for pattern in _BOUNDARIES:
        ends = [
            found.end()
            for found in pattern.finditer(window)
            if found.end() <= longest and not any(a < found.end() < b for a, b in whole)
        ]
        if ends and ends[-1] >= _LEAST * longest:
            return ends[-1]
    if spaces := ends:
        return spaces[-1]
    at = longest
    # A mark stays with its letter, unless there are nothing but marks.
    while at > 1 and (unicodedata.combining(text[at]) or text[at] in _JOINERS):
        at -= 1
    return at if at > 1 else longest
