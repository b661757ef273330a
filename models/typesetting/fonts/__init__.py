"""Find the shipped fonts, and the order in which they are tried."""

from __future__ import annotations

from pathlib import Path

from models.text.glyphs import families

FOLDER = Path(__file__).parent
_CJK = "Noto Sans CJK SC"  # its variants for other languages are chosen by the language


def font_families(language: str) -> list[str]:
    """Return the font families in fallback order for ``language``."""
    first = ["Noto Sans"]
    if language in ("zh", "ja", "ko", "yue"):
        first.append(_CJK)
    return first + [name for name in families() if name not in first]
