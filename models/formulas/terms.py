"""Divide a formula into the terms that appear one after another."""

from __future__ import annotations

import re

from models.formulas.errors import FormulaError
from models.formulas.parser import Parsed, parse_formula, parsed
from models.formulas.width import MAX_WIDTH, width

NEW_ROW = "\\\\"
MAX_TERMS = 16  # of a scene
_MAX_ROWS = 6
MAX_TERM_LENGTH = 1000  # characters
_WHOLE = re.compile(
    r"\s*\\begin\{(aligned|align|alignat|alignedat|split|eqnarray|flalign|gather|gathered|multline"
    r"|equation|displaymath)(\*?)\}(?:\s*\[[tbc]\])?(?P<columns>\{\d+\})?(?P<body>.*)"
    r"\\end\{\1\2\}\s*",
    re.DOTALL,
)


def split_terms(source: str) -> list[list[str]]:
    r"""Return the terms of ``source``, each a formula itself: before each sign between two of them;
    of a formula in rows each row, which begins with ``\\``. Long formulas are several lists of
    terms, one for each scene.

    Raises:
        FormulaError: the source is no formula known here, too long, or too wide.
    """
    formula = parsed(source)
    inner = _without_environment(formula)
    for terms, most in ((_rows(inner), _MAX_ROWS), (_between_signs(formula), MAX_TERMS)):
        if terms and all(map(_stands_alone, terms)):
            return _scenes(terms, most)
    whole = _one_line(formula.source)
    require_term(whole)
    return [[whole]]


def require_term(term: str) -> None:
    r"""Check that ``term``, which may begin with ``\\``, is a formula that can be read.

    Raises:
        FormulaError: it is none, or too long or too wide for a line.
    """
    source = term.removeprefix(NEW_ROW)
    tree = parse_formula(source)
    if len(term) > MAX_TERM_LENGTH:
        raise FormulaError(
            f"a part that cannot be divided has more than {MAX_TERM_LENGTH} characters:"
            " make several formulas of it"
        )
    if (letters := width(tree)) > MAX_WIDTH:
        raise FormulaError(
            f"a part that cannot be divided is about {letters:.0f} letters wide, and"
            f" {MAX_WIDTH:.0f} can be read: break it with \\\\, or name a part of it"
        )


def _without_environment(formula: Parsed) -> Parsed:
    """Return what stands in the environment that is the whole formula, if there is one."""
    found = _WHOLE.fullmatch(formula.source)
    if not found or (found["columns"] and "alig" not in found[1]):
        return formula
    try:
        return parsed(found["body"])
    except FormulaError:  # two environments, one after the other
        return formula


def _rows(formula: Parsed) -> list[str]:
    if not formula.rows:
        return [] if ["amp"] not in formula.tree else [_one_line(formula.source)]
    starts = (0, *formula.rows)
    rows = [formula.source[a:b] for a, b in zip(starts, (*formula.rows, None), strict=True)]
    rows = [_one_line(row.strip().removesuffix("\\cr")) for row in rows]
    terms = [rows[0], *(f"{NEW_ROW} {row}" for row in rows[1:])]
    return [re.sub(r"\s*\\\\(?:\*?\s*\[[^\]]*\])?$", "", term) for term in terms]


def _between_signs(formula: Parsed) -> list[str]:
    starts = (0, *formula.signs)
    pieces = [formula.source[a:b] for a, b in zip(starts, (*formula.signs, None), strict=True)]
    return [_one_line(piece) for piece in pieces]


def _one_line(text: str) -> str:
    # A backslash at the end was a space, whose blank is gone.
    return re.sub(r"(?<!\\)((?:\\\\)*)\\$", r"\1", " ".join(text.split())).rstrip()


def _scenes(terms: list[str], most: int) -> list[list[str]]:
    """Divide ``terms`` among scenes of like length."""
    size = -(-len(terms) // -(-len(terms) // most))
    scenes = [terms[start : start + size] for start in range(0, len(terms), size)]
    return [[scene[0].removeprefix(NEW_ROW).lstrip(), *scene[1:]] for scene in scenes]


def _stands_alone(term: str) -> bool:
    try:
        require_term(term)
    except FormulaError:
        return False
    return True
