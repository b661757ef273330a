"""Divide a formula into the terms that appear one after another."""

from __future__ import annotations

import re

from models.formulas.errors import FormulaError
from models.formulas.parser import Parsed, parsed

NEW_ROW = "\\\\"
MAX_TERMS = 16
MAX_TERM_LENGTH = 1000  # characters
_WHOLE = re.compile(
    r"\s*\\begin\{(aligned|align|alignat|alignedat|split|eqnarray|flalign|gather|gathered|multline"
    r"|equation|displaymath)(\*?)\}(?:\s*\[[tbc]\])?(?P<columns>\{\d+\})?(?P<body>.*)"
    r"\\end\{\1\2\}\s*",
    re.DOTALL,
)


def split_terms(source: str) -> list[str]:
    r"""Return the terms of ``source``, each a formula itself: before each sign between two of them;
    of a formula in rows each row, which begins with ``\\``.

    Raises:
        FormulaError: the source is no formula known here, or too long.
    """
    formula = parsed(source)
    for terms in (_rows(_without_environment(formula)), _between_signs(formula)):
        if terms and all(map(_stands_alone, terms)):
            return terms
    whole = _one_line(formula.source)
    if _stands_alone(whole):
        return [whole]
    if len(whole) > MAX_TERM_LENGTH:
        raise FormulaError(
            f"a part that cannot be divided has more than {MAX_TERM_LENGTH} characters:"
            " make several formulas of it"
        )
    raise FormulaError("the formula is empty: write it, or leave its dollar signs out")


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
    return _few([re.sub(r"\s*\\\\(?:\*?\s*\[[^\]]*\])?$", "", term) for term in terms])


def _between_signs(formula: Parsed) -> list[str]:
    starts = (0, *formula.signs)
    pieces = [formula.source[a:b] for a, b in zip(starts, (*formula.signs, None), strict=True)]
    return _few([_one_line(piece) for piece in pieces])


def _one_line(text: str) -> str:
    # A backslash at the end was a space, whose blank is gone.
    return re.sub(r"(?<!\\)((?:\\\\)*)\\$", r"\1", " ".join(text.split())).rstrip()


def _few(terms: list[str]) -> list[str]:
    last = MAX_TERMS - 1
    return [*terms[:last], *([" ".join(terms[last:])] if terms[last:] else [])]


def _stands_alone(term: str) -> bool:
    if not 0 < len(term) <= MAX_TERM_LENGTH:
        return False
    try:
        parsed(term.removeprefix(NEW_ROW))
    except FormulaError:
        return False
    return True
