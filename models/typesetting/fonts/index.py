"""Write models/text/coverage.json: the characters that the fonts in this folder cover.

To add a font, put a static OpenType file and its license here and run this with ``fonttools``
installed: ``python -m models.typesetting.fonts.index``. Typst takes no variable fonts.
"""

from __future__ import annotations

import json
from pathlib import Path

from fontTools.ttLib import TTFont  # type: ignore[import-not-found, unused-ignore]

from models.text.glyphs import COVERAGE


def main() -> None:
    folder = Path(__file__).parent
    families: list[str] = []
    covered: set[int] = set()
    for path in sorted([*folder.glob("*.ttf"), *folder.glob("*.otf")]):
        font = TTFont(path, lazy=True)
        name = font["name"].getDebugName(16)
        families += [name] if name not in families else []
        covered |= set(font.getBestCmap())
    ranges: list[list[int]] = []
    for point in sorted(covered):
        if ranges and point == ranges[-1][1] + 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    # Emoji come last: their font also has digits.
    families.sort(key=lambda name: ("Emoji" in name, "DejaVu" in name, "Symbols" in name, name))
    stored = {"families": families, "ranges": ranges}
    COVERAGE.write_text(json.dumps(stored, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
