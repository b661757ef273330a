r"""Formulas within sentences: in the texts of a script they stand between ``\(`` and ``\)``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from models.formulas.errors import FormulaError
from models.formulas.parser import parse_formula
from models.formulas.plain_text import formula_text
from models.formulas.speech import spoken_formula
from models.formulas.tree import Formula, formula_texts
from models.formulas.width import width

INLINE = re.compile(r"\\\((.{1,400}?)\\\)", re.DOTALL)
_OPENING = "\\("
_LITERAL = "\\\u2060("  # a joiner, which is not drawn, keeps code from being taken for a formula
_LONGEST, _WIDEST = 100, 40.0  # characters, and letters as they are set: the rest is shown as text


def inline_formula(tex: str) -> str:
    r"""Return ``tex`` as it stands in a text: in ``\( \)``, or as readable text where it is too
    long or too wide for a line, has rows, or is no formula known here.
    """
    source = " ".join(tex.split())
    alone = len(source) <= _LONGEST and not re.search(r"\\[()]", source)
    if not alone or ("%" in tex and "\n" in tex):
        return formula_text(tex)
    tree = _parsed(source)
    rows = tree is not None and (["newline"] in tree or ["amp"] in tree)
    if tree is None or rows or width(tree) > _WIDEST:
        return formula_text(tex)
    return f"\\({source}\\)"


def without_formulas(text: str) -> str:
    r"""Return ``text``, which is none of a formula, so that no ``\(`` in it begins one."""
    return text.replace(_OPENING, _LITERAL)


def split_formulas(text: str) -> list[str | Formula]:
    """Return the parts of ``text`` in order: words as they are, formulas as trees."""
    parts: list[str | Formula] = []
    at = 0
    for found in INLINE.finditer(text):
        if (tree := _parsed(found[1])) is not None:
            parts += [text[at : found.start()], tree]
            at = found.end()
    return [part for part in (*parts, text[at:]) if part]


def plain_line(text: str) -> str:
    """Return ``text`` with its formulas as readable text, for titles and measures."""
    return INLINE.sub(lambda found: formula_text(found[1]), text) if _OPENING in text else text


def spoken_line(text: str, language: str) -> str:
    """Return ``text`` with its formulas in words of ``language``, a BCP 47 tag."""
    if _OPENING in text:
        text = INLINE.sub(lambda found: spoken_formula(found[1], language), text)
    return text.replace(_LITERAL, _OPENING)


def printed_letters(text: str) -> str:
    """Return every letter and sign that ``text`` shows, for the check that the fonts have them."""
    if _OPENING not in text:
        return text
    parts = split_formulas(text)
    return "".join(part if isinstance(part, str) else formula_texts(part) for part in parts)


def check_formulas_in(text: str) -> None:
    """Check the formulas of ``text``.

    Raises:
        FormulaError: one is no formula known here; the message says where.
    """
    for found in INLINE.finditer(text):
        try:
            parse_formula(found[1])
        except FormulaError as error:
            raise FormulaError(f"{found[0][:60]}: {error}") from error


def joined_at_formulas(pieces: list[str]) -> Iterator[str]:
    """Yield ``pieces`` of one text, those in which a formula was parted as one again."""
    waiting = ""
    for piece in pieces:
        waiting = f"{waiting} {piece}" if waiting else piece
        if waiting.count(_OPENING) <= waiting.count("\\)"):
            yield waiting
            waiting = ""
    if waiting:
        yield waiting


@lru_cache(maxsize=256)
def _parsed(tex: str) -> Formula | None:
    try:
        return parse_formula(tex)
    except FormulaError:
        return None
