"""Check every formula of a document, so that none fails when its lesson is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deployments.generators.study_animation.fenced_blocks import BadMarkdown
from models.formulas.errors import FormulaError
from models.formulas.parser import parse_formula
from models.formulas.terms import split_terms
from models.text.document import (
    Block,
    Content,
    Footnote,
    Heading,
    ItemList,
    Link,
    Math,
    MathBlock,
    Paragraph,
    Picture,
    Quote,
    Styled,
    Table,
    source_lines,
)


def check_formulas(blocks: Sequence[Block], source: str) -> None:
    """Parse the formulas in the sentences and blocks of a document with the lines of ``source``.

    Raises:
        BadMarkdown: one cannot be set; the message says in which line, where and why.
    """
    lines = source.splitlines()
    for block in blocks:
        match block:
            case MathBlock():
                _check_block(block, lines)
            case Heading(first=first, content=content) | Paragraph(first=first, content=content):
                _check_content(first, content)
            case Table(header=header, rows=rows):
                for row in (header, *rows):
                    for cell in row.cells:
                        _check_content(row.first, cell)
            case ItemList(items=items):
                for item in items:
                    check_formulas(item.blocks, source)
            case Quote(blocks=inner) | Footnote(blocks=inner):
                check_formulas(inner, source)


def _check_block(block: MathBlock, lines: Sequence[str]) -> None:
    try:
        split_terms(block.tex)
    except FormulaError as error:
        opening = lines[block.first - 1 : block.first]
        alone = bool(opening) and opening[0].strip(" >\t") in ("$$", "```math", "~~~math")
        raise BadMarkdown(block.first + alone + error.line, f"the formula: {error}") from error


def _check_content(first: int, content: Content) -> None:
    for number, line in enumerate(source_lines(content), start=first):
        for formula in _formulas(line):
            try:
                (split_terms if formula.display else parse_formula)(formula.tex)
            except FormulaError as error:
                raise BadMarkdown(
                    number,
                    f"the formula ${formula.tex[:60]}$: {error}; a dollar sign that begins no"
                    " formula is written \\$",
                ) from error


def _formulas(content: Content) -> Iterator[Math]:
    for part in content:
        if isinstance(part, Math):
            yield part
        elif isinstance(part, Styled | Link | Picture):
            yield from _formulas(part.content)
