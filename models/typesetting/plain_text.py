"""Sanitize user text: remove control characters, stacked marks and unprintable characters."""

from __future__ import annotations

import unicodedata

from models.formulas.inline import INLINE

# Joiners and marks of direction shape text; overrides and embeddings could forge it.
_KEPT = frozenset("\u200c\u200d\u00ad\u200e\u200f\u2066\u2067\u2068\u2069\u061c\u200b")
_DROPPED = frozenset("\ufe0e\ufe0f\ufeff")
_RTL_LANGUAGES = frozenset(
    {"ar", "he", "iw", "fa", "ur", "ug", "sd", "ps", "yi", "ji", "ckb", "dv", "ks", "syr", "nqo"}
)
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


def is_rtl(text: str, language: str) -> bool:
    """Return whether ``text`` is set from right to left in a document in ``language`` (BCP 47).

    The language decides, whatever the text begins with; only a text without any letter of the
    language's direction has its own in a document that runs from left to right. Formulas count for
    nothing.
    """
    left, right = _has_letters(INLINE.sub("", text))
    return _is_rtl_language(language) or (right and not left)


def with_direction(text: str, rtl: bool) -> str:
    """Isolate ``text`` without right-to-left letters in a right-to-left line.

    So the full stop of an English line stays at its end in a Hebrew lesson, and the sign of a
    figure before it.
    """
    return f"\u2066{text}\u2069" if rtl and text and not has_rtl_letters(text) else text


def has_rtl_letters(text: str) -> bool:
    """Return whether ``text`` has a letter of a script that runs from right to left."""
    return _has_letters(text)[1]


def _has_letters(text: str) -> tuple[bool, bool]:
    """Return whether ``text`` has left-to-right letters, and whether right-to-left ones."""
    directions = {unicodedata.bidirectional(char) for char in text}
    return "L" in directions, bool(directions & {"R", "AL"})


def _is_rtl_language(tag: str) -> bool:
    parts = tag.replace("_", "-").lower().split("-")
    if any(len(part) == 4 and part.isalpha() for part in parts[1:]):  # a script
        return bool({"arab", "hebr", "thaa", "syrc", "nkoo"} & set(parts[1:]))
    return parts[0] in _RTL_LANGUAGES


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
