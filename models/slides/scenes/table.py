"""Draw a table whose rows appear one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.formulas.inline import plain_line
from models.schemas.lesson import TableScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer, ink_height
from models.slides.errors import SceneDoesNotFit
from models.slides.layout import EMERGENCY_SCALES, MIN_TEXT_SIZE, SCALES, Box
from models.slides.timeline import SceneTimeline
from models.typesetting.plain_text import is_rtl, sanitize_text
from models.typesetting.typeset import Paragraph, TextMask

_SIZE = 4.6  # em
_GUTTER, _PAD = 1.0, 0.42  # between columns, and above and below the cells, in the size
_LEAST, _MOST = 5, 36  # letters by which a column's share of the width is reckoned


@dataclass(frozen=True)
class _Plan:
    size: float
    header: list[TextMask]
    rows: list[list[TextMask]]
    pages: list[list[int]]


def draw_table(scene: TableScene, canvas: Canvas) -> SceneTimeline:
    """Lay out the table at the largest type that fits, or on several pages with the same header.

    Raises:
        SceneDoesNotFit: a row is too tall even on a page of its own.
    """
    composer = Composer(canvas)
    body = composer.add_heading(scene.heading)
    rtl = is_rtl(sanitize_text(" ".join([*scene.header, *scene.rows[0]])), composer.canvas.language)
    widths = _column_widths(scene, body.width)
    plan = _fit(composer, scene, widths, body)
    theme, pad = composer.theme, _PAD * plan.size
    gutter = _GUTTER * plan.size
    lefts = [body.x + sum(widths[:n]) for n in range(len(widths))]
    if rtl:
        lefts = [body.right - sum(widths[: n + 1]) + gutter for n in range(len(widths))]

    def add_row(
        cells: Sequence[TextMask], y: float, name: str, beat: int, page: int | None
    ) -> None:
        for column, cell in enumerate(cells):
            color = theme.accents[0] if name == "header" else None
            composer.add_text(
                cell, lefts[column], y + pad - min(cell.top, 0), f"{name} {column + 1}", beat=beat,
                page=page, color=color,
            )  # fmt: skip

    top = body.y + _height(plan.header, pad)
    add_row(plan.header, body.y, "header", -1, None)
    composer.add_panel(
        Box(body.x, top, body.width, 0.4 * composer.em), "edge", color=theme.accents[0], radius=0,
        page=None,
    )  # fmt: skip
    for page, rows in enumerate(plan.pages):
        y = top + 0.8 * composer.em
        for row in rows:
            add_row(plan.rows[row], y, f"row {row + 1} cell", row, page)
            y += _height(plan.rows[row], pad)
            composer.add_panel(
                Box(body.x, y, body.width, max(1.0, 0.15 * composer.em)), f"edge {row + 1}",
                color=theme.line, radius=0, beat=row, page=page,
            )  # fmt: skip
            y += 0.4 * composer.em
    return composer.build_timeline(len(scene.rows), [rows[0] for rows in plan.pages])


def _column_widths(scene: TableScene, width: float) -> list[float]:
    """Share ``width`` among the columns by their longest cells."""
    columns = zip(scene.header, *scene.rows, strict=True)
    shares = [
        min(max(_LEAST, *(len(plain_line(cell)) for cell in column)), _MOST) for column in columns
    ]
    return [width * share / sum(shares) for share in shares]


def _fit(composer: Composer, scene: TableScene, widths: Sequence[float], body: Box) -> _Plan:
    plan: _Plan | None = None
    for scale in (*SCALES, *EMERGENCY_SCALES):
        size = max(_SIZE * scale, MIN_TEXT_SIZE) * composer.em
        plan = _plan_at(composer, scene, widths, body, size)
        if plan is not None and len(plan.pages) == 1:
            return plan
        if _SIZE * scale <= MIN_TEXT_SIZE:
            break
    if plan is None:
        raise SceneDoesNotFit("a row of the table is too tall for this frame: shorten its cells")
    return plan


def _plan_at(
    composer: Composer, scene: TableScene, widths: Sequence[float], body: Box, size: float
) -> _Plan | None:
    """All rows at ``size`` (pixels) on their pages; None where a row is too tall for any."""
    rooms = [max(width - _GUTTER * size, size) for width in widths]
    blocks = [
        Paragraph(cell, size, room, 700 if number == 0 else 400)
        for number, row in enumerate((scene.header, *scene.rows))
        for cell, room in zip(row, rooms, strict=True)
    ]
    masks = composer.typeset(blocks)
    count = len(widths)
    lines = [masks[start : start + count] for start in range(0, len(masks), count)]
    pad, em = _PAD * size, composer.em
    room = body.height - _height(lines[0], pad) - 1.2 * em
    pages: list[list[int]] = [[]]
    used = 0.0
    for index, line in enumerate(lines[1:]):
        height = _height(line, pad) + 0.6 * em
        if height > room:
            return None
        if pages[-1] and used + height > room:
            pages.append([])
            used = 0.0
        pages[-1].append(index)
        used += height
    return _Plan(size, lines[0], lines[1:], pages)


def _height(cells: Sequence[TextMask], pad: float) -> float:
    return max(map(ink_height, cells)) + 2 * pad
