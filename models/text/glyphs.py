"""Which characters the shipped fonts have, so that a text without letters is refused early."""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path

COVERAGE = Path(__file__).with_name("coverage.json")  # models/typesetting/fonts/index.py writes it
_INVISIBLE = frozenset("\u200b\u200c\u200d\u00ad\u200e\u200f\u2066\u2067\u2068\u2069\u061c")
_UNPRINTED = frozenset("\ufe0e\ufe0f\ufeff")


class UnsupportedCharacters(ValueError):
    """No shipped font has some of the characters."""


@lru_cache(maxsize=1)
def _index() -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the families, and the first and last code points of the ranges that any of them
    covers.
    """
    stored = json.loads(COVERAGE.read_text("utf-8"))
    ranges = sorted(tuple(span) for span in stored["ranges"])
    return tuple(stored["families"]), tuple(r[0] for r in ranges), tuple(r[1] for r in ranges)


def families() -> tuple[str, ...]:
    """Return the families of the shipped fonts."""
    return _index()[0]


def has_glyph(char: str) -> bool:
    """Return whether a shipped font has ``char``."""
    _, starts, ends = _index()
    place = bisect_right(starts, ord(char)) - 1
    return place >= 0 and ord(char) <= ends[place]


def require_glyphs(text: str, part: str) -> None:
    """Check that the shipped fonts have every character of ``text`` that is printed.

    Raises:
        UnsupportedCharacters: some characters are missing; the message names them and ``part``.
    """
    composed = dict.fromkeys(unicodedata.normalize("NFC", text))
    missing = [char for char in composed if not (_is_invisible(char) or has_glyph(char))]
    if missing:
        names = ", ".join(
            f"{char!r} (U+{ord(char):04X} {unicodedata.name(char, 'unnamed')})"
            for char in missing[:5]
        )
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise UnsupportedCharacters(
            f"{part}: no font here has {names}{more}; leave them out or write them otherwise"
        )


def _is_invisible(char: str) -> bool:
    """Return whether ``char`` is a blank, or is dropped before a text is set."""
    if char.isspace() or char in _INVISIBLE or char in _UNPRINTED:
        return True
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn")
