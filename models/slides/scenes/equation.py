"""Draw an equation term by term, in as many rows as it needs."""

from __future__ import annotations

from collections.abc import Sequence

from models.formulas.errors import FormulaError
from models.formulas.parser import parse_formula
from models.formulas.terms import NEW_ROW
from models.formulas.tree import Formula, formula_texts
from models.schemas.drawn_scenes import EquationScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer, ink_height
from models.slides.errors import BadEquation
from models.slides.layout import SCALES, Box
from models.slides.timeline import SceneTimeline
from models.text.glyphs import require_glyphs
from models.typesetting.typeset import Equation, TextMask

_MAX_SIZE = 11.0  # em; short equations are large
_ALL_SCALES = (*SCALES, 0.54, 0.48, 0.42, 0.37, 0.33, 0.29, 0.25, 0.22)
_ROW_GAP = 0.55  # of the size


def draw_equation(scene: EquationScene, canvas: Canvas) -> SceneTimeline:
    r"""Lay out an equation.

    Each term is a beat that appears in the accent color and then fades to the text color. A term
    that begins with ``\\`` begins a new row. Rows are centered, or aligned at their ``&``.
    """
    terms = [_parse_term(source, number) for number, source in enumerate(scene.terms, 1)]
    forced = [source.lstrip().startswith(NEW_ROW) for source in scene.terms]
    composer = Composer(canvas)
    body = composer.add_heading(scene.heading)
    area = composer.add_caption(scene.caption, body, beat=len(terms) - 1, delay=0.5)
    if any(["amp"] in term or ["newline"] in term for term in terms):
        _draw_aligned(composer, terms, forced, area)
        return composer.build_timeline(len(terms))
    size, rows = _fit_rows(composer, terms, forced, area)
    layers = [
        Equation(tuple(terms[index] for index in row), size, visible_term)
        for row in rows
        for visible_term in range(len(row))
    ]
    whole = composer.typeset([Equation(tuple(terms[index] for index in row), size) for row in rows])
    text_masks = iter(composer.typeset(layers))
    total = sum(map(ink_height, whole)) + _ROW_GAP * size * (len(rows) - 1)
    y = area.y + (area.height - total) * 0.5
    for row, full in zip(rows, whole, strict=True):
        x = area.x + (area.width - full.mask.shape[1]) / 2 - full.left
        for index in row:
            _add_term(composer, next(text_masks), x, y - min(full.top, 0), index)
        y += ink_height(full) + _ROW_GAP * size
    return composer.build_timeline(len(terms))


def _add_term(composer: Composer, text_mask: TextMask, x: float, y: float, index: int) -> None:
    composer.add_text(
        text_mask, x, y, f"term {index + 1}", beat=index, seconds=1.4,
        flash_color=composer.theme.accents[0], slide=(0.0, 1.2 * composer.em),
    )  # fmt: skip


def _draw_aligned(
    composer: Composer, terms: Sequence[Formula], forced: Sequence[bool], area: Box
) -> None:
    """Draw rows as one block, so that what stands at ``&`` is below one another."""
    block = tuple(
        ["seq", ["newline"], *term[1:]] if new_row and index else term
        for index, (term, new_row) in enumerate(zip(terms, forced, strict=True))
    )
    for scale in _ALL_SCALES:
        size = _MAX_SIZE * composer.em * scale
        whole = composer.typeset_one(Equation(block, size))
        if whole.mask.shape[1] <= area.width and ink_height(whole) <= area.height:
            break
    else:
        size *= _shrink([whole], area)
        whole = composer.typeset_one(Equation(block, size))
    x = area.x + (area.width - whole.mask.shape[1]) / 2 - whole.left
    y = area.y + (area.height - ink_height(whole)) / 2 - min(whole.top, 0)
    layers = composer.typeset([Equation(block, size, index) for index in range(len(block))])
    for index, text_mask in enumerate(layers):
        _add_term(composer, text_mask, x, y, index)


def _parse_term(source: str, number: int) -> Formula:
    bare = source.strip().removeprefix(NEW_ROW)
    try:
        tree = parse_formula(bare)
    except FormulaError as error:
        raise BadEquation(f"term {number} of the equation: {error}") from error
    require_glyphs(formula_texts(tree), f"term {number} of the equation")
    return tree


def _fit_rows(
    composer: Composer, terms: Sequence[Formula], forced: Sequence[bool], area: Box
) -> tuple[float, list[list[int]]]:
    """Return the type size and the terms of each row: one row if possible, else the larger size."""
    unit = _MAX_SIZE * composer.em
    probe = composer.typeset([Equation((term,), unit) for term in terms])
    widths = [text_mask.mask.shape[1] / unit + 0.3 for text_mask in probe]
    plain_rows = _split_rows(widths, forced, float("inf"))
    for scale in _ALL_SCALES:
        size = unit * scale
        options = (
            [plain_rows]
            if scale > 0.6
            else [plain_rows, _split_rows(widths, forced, area.width / size)]
        )
        for rows in options:
            text_masks = composer.typeset(
                [Equation(tuple(terms[i] for i in row), size) for row in rows]
            )
            tall = sum(map(ink_height, text_masks)) + _ROW_GAP * size * (len(rows) - 1)
            wide = max(text_mask.mask.shape[1] for text_mask in text_masks)
            if wide <= area.width and tall <= area.height:
                return size, rows
    return size * _shrink(text_masks, area, (len(rows) - 1) * _ROW_GAP * size), rows


def _shrink(rows: Sequence[TextMask], area: Box, gaps: float = 0.0) -> float:
    """Return by how much ``rows`` have to become smaller: what was accepted is drawn, if small."""
    wide = max(1, *(row.mask.shape[1] for row in rows))
    tall = sum(map(ink_height, rows)) + gaps
    return 0.97 * min(area.width / wide, area.height / max(tall, 1.0), 1.0)


def _split_rows(widths: Sequence[float], forced: Sequence[bool], room: float) -> list[list[int]]:
    rows: list[list[int]] = []
    filled = 0.0
    for index, width in enumerate(widths):
        if not rows or forced[index] or filled + width > room:
            rows.append([])
            filled = 0.0
        rows[-1].append(index)
        filled += width
    return rows
