"""Check that the fonts have what a lesson shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.formulas.inline import check_formulas_in, printed_letters
from models.schemas.lesson import Scene
from models.text.glyphs import require_glyphs

_PLAIN = frozenset(["code", "terms"])  # have no formulas between \( and \)
_NOT_SHOWN = frozenset(["type", "narration", "image", "id", "source", "target", "direction"])


def check_glyphs(scene: Scene, *, burn_subtitles: bool) -> None:
    """Check every text that ``scene`` shows; its narration where subtitles are drawn.

    Raises:
        UnsupportedCharacters: no font has some characters; the message names them and the part.
        FormulaError: a formula within a text is none known here.
    """
    for name, value in scene.model_dump().items():
        if name not in _NOT_SHOWN:
            for text in _texts(value):
                if name not in _PLAIN:
                    check_formulas_in(text)
                require_glyphs(printed_letters(text), f"the {name.replace('_', ' ')}")
    if burn_subtitles:
        require_glyphs(scene.narration, "the narration, as a burned subtitle,")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in _NOT_SHOWN:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
