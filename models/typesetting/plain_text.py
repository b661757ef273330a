"""Sanitize user text: remove control characters, stacked marks and unprintable characters."""

from __future__ import annotations

import unicodedata

# Joiners and marks of direction shape text; overrides and embeddings could forge it.
_KEPT = frozenset("\u200c\u200d\u00ad\u200e\u200f\u2066\u2067\u2068\u2069\u061c\u200b")
_DROPPED = frozenset("\ufe0e\ufe0f\ufeff")
_MAX_MARKS = 4  # on one letter; real orthographies need at most this
_SOFT_HYPHEN, _BREAK = "\u00ad", "\u200b"


def sanitize_text(text: str) -> str:
    """Return ``text`` as one line in composed form (NFC), without control characters."""
    output: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if char in "\n\r\t\v\f\u2028\u2029" or kind == "Zs":
            output.append("\u00a0" if char in "\u00a0\u202f" else " ")
        elif char in _KEPT or (
            kind not in ("Cc", "Cf", "Cs", "Co", "Cn")
            and char not in _DROPPED
            and marks <= _MAX_MARKS
        ):
            output.append(char)
    return " ".join(part for part in "".join(output).split(" ") if part)


def is_rtl(text: str) -> bool:
    """Return whether the first letter with a direction is right-to-left."""
    for char in text:
        direction = unicodedata.bidirectional(char)
        if direction in ("R", "AL"):
            return True
        if direction == "L":
            return False
    return False


def with_break_points(text: str, longest: int = 9) -> str:
    """Insert break points into words of ``text`` with more than ``longest`` letters."""
    return " ".join(_broken(word) if len(word) > longest else word for word in text.split(" "))


def _broken(word: str) -> str:
    pieces: list[str] = []
    for index, char in enumerate(word):
        before = word[index - 1] if index else ""
        if index and _may_part(before, char):
            pieces.append(_SOFT_HYPHEN if _hyphenated(before, char) else _BREAK)
        pieces.append(char)
    return "".join(pieces)


def _may_part(before: str, after: str) -> bool:
    """Allow no break beside a mark or a joiner, nor inside scripts that break by themselves."""
    if before in _KEPT or after in _KEPT or unicodedata.category(after).startswith("M"):
        return False
    if unicodedata.combining(before) == 9:  # a virama ties two letters into one
        return False
    return not any(
        0x0E00 <= ord(char) <= 0x0EFF
        or 0x1000 <= ord(char) <= 0x109F
        or 0x1780 <= ord(char) <= 0x17FF
        or 0x2E80 <= ord(char) <= 0xD7AF
        or 0xFF00 <= ord(char) <= 0xFFEF
        or 0x1F000 <= ord(char) <= 0x1FAFF
        or 0x20000 <= ord(char) <= 0x3FFFF
        for char in (before, after)
    )


def _hyphenated(before: str, after: str) -> bool:
    """Return whether both letters belong to a script that hyphenates: Latin, Greek, Cyrillic,
    Armenian.
    """
    return all(char.isalpha() and ord(char) < 0x0590 for char in (before, after))
