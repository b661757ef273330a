"""Look up the characters and the fallback order of the shipped fonts."""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path

from models.typesetting.errors import UnsupportedCharacters

FOLDER = Path(__file__).parent
_INVISIBLE = frozenset("\u200b\u200c\u200d\u00ad\u200e\u200f\u2066\u2067\u2068\u2069\u061c")
_CJK = "Noto Sans CJK SC"  # its variants for other languages are chosen by the language


@lru_cache(maxsize=1)
def _index() -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the families, and the first and last code points of the ranges that any of them
    covers.
    """
    stored = json.loads((FOLDER / "coverage.json").read_text("utf-8"))
    ranges = sorted(tuple(span) for span in stored["ranges"])
    return tuple(stored["families"]), tuple(r[0] for r in ranges), tuple(r[1] for r in ranges)


def font_families(language: str) -> list[str]:
    """Return the font families in fallback order for ``language``."""
    every = list(_index()[0])
    first = ["Noto Sans"]
    if language in ("zh", "ja", "ko", "yue"):
        first.append(_CJK)
    return first + [name for name in every if name not in first]


def has_glyph(char: str) -> bool:
    """Return whether a shipped font has ``char``."""
    _, starts, ends = _index()
    place = bisect_right(starts, ord(char)) - 1
    return place >= 0 and ord(char) <= ends[place]


def require_glyphs(text: str, part: str) -> None:
    """Check that the shipped fonts have every character of ``text``.

    Raises:
        UnsupportedCharacters: some characters are missing; the message names them and ``part``.
    """
    missing = list(
        dict.fromkeys(
            char for char in text if not (char.isspace() or char in _INVISIBLE or has_glyph(char))
        )
    )
    if missing:
        names = ", ".join(
            f"{char!r} (U+{ord(char):04X} {unicodedata.name(char, 'unnamed')})"
            for char in missing[:5]
        )
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise UnsupportedCharacters(
            f"{part}: no font here has {names}{more}; leave them out or write them otherwise"
        )
