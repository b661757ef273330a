"""Draw text scenes: titles, bullets, steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.schemas.lesson import BulletsScene, StepsScene, TitleScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer, ink_height
from models.slides.errors import SceneDoesNotFit
from models.slides.layout import MIN_TEXT_SIZE, SCALES, Box
from models.slides.shapes import Stroke
from models.slides.timeline import SceneTimeline, TimelineEntry
from models.typesetting.plain_text import is_rtl, sanitize_text
from models.typesetting.typeset import Paragraph, TextMask

_BODY = 5.2  # size of a line, in em
_GAP = 0.62  # between lines, in their size
_LEVEL = 1.3  # by which a list within a list is indented, in the size of its lines
DOT = "•"


def draw_title(scene: TitleScene, canvas: Canvas) -> SceneTimeline:
    """Lay out the title in the middle, a rule, and the subtitle below."""
    composer = Composer(canvas)
    em, safe = composer.em, composer.safe
    room = safe.height * (0.55 if scene.subtitle else 0.8)
    title, _ = composer.fit_paragraph(
        scene.title, 9.6 * em, safe.width, room, "the title", weight=700, align="center"
    )
    below = 0.0
    subtitle: TextMask | None = None
    if scene.subtitle:
        subtitle, _ = composer.fit_paragraph(
            scene.subtitle, 4.8 * em, safe.width, safe.height * 0.3, "the subtitle", align="center"
        )
        below = 2.4 * em + ink_height(subtitle)
    total = ink_height(title) + 3.2 * em + below
    top = (canvas.height - total) / 2 - em
    composer.add_text(title, safe.x, top - min(title.top, 0), "title", beat=0, seconds=0.7)
    bar = Box(canvas.width / 2 - 7 * em, top + ink_height(title) + 2 * em, 14 * em, 0.9 * em)
    accent = composer.theme.accents[0]
    composer.add_panel(bar, "rule", color=accent, beat=0, delay=0.3, radius=em)
    if subtitle:
        y = bar.bottom + 2.4 * em - min(subtitle.top, 0)
        composer.add_text(
            subtitle, safe.x, y, "subtitle", beat=1, color=composer.theme.muted, seconds=0.6
        )
    return composer.build_timeline(2 if scene.subtitle else 1)


def draw_bullets(scene: BulletsScene, canvas: Canvas) -> SceneTimeline:
    """Lay out bullets in one column, in two columns, or on several pages."""
    marks = scene.marks or (DOT,) * len(scene.bullets)
    return _draw_points(scene, canvas, scene.bullets, marks, "bullet")


def draw_steps(scene: StepsScene, canvas: Canvas) -> SceneTimeline:
    """Lay out numbered steps, each joined to the next one below it."""
    marks = scene.marks or tuple(str(scene.start + n) for n in range(len(scene.steps)))
    return _draw_points(scene, canvas, scene.steps, marks, "step")


def _draw_points(
    scene: BulletsScene | StepsScene,
    canvas: Canvas,
    texts: Sequence[str],
    marks: Sequence[str],
    part: str,
) -> SceneTimeline:
    composer = Composer(canvas)
    body = composer.add_heading(scene.heading)
    levels = scene.levels or (0,) * len(texts)
    labels = [mark.replace("[x]", "☑").replace("[ ]", "☐") for mark in marks]
    discs = [part == "step" and mark.isdecimal() and not deep
             for mark, deep in zip(marks, levels, strict=True)]  # fmt: skip
    widest = max((len(label) for label in labels if label != DOT), default=0)
    plain = part == "bullet" and not widest
    indent = 0.95 if plain else max(2.1 if part == "step" else 1.3, 0.6 * widest + 0.6)
    plan = layout_list(
        composer, texts, body, indent=indent, part=part, columns=part == "bullet", levels=levels
    )
    written = composer.typeset(
        [
            Paragraph(label, 0.72 * plan.size * min(1.0, 2.2 / len(label)), weight=700)
            if disc
            else Paragraph(label, plan.size, weight=700)
            for label, disc in zip(labels, discs, strict=True)
            if label not in ("", DOT)
        ]
    )
    masks = iter(written)
    theme, side = composer.theme, 1.3 * plan.size
    before: tuple[ListItem, float, float] | None = None  # the disc above
    for spot, label, disc in zip(plan.items, labels, discs, strict=True):
        n, center = spot.index, None
        if disc:
            x = spot.box.right - side / 2 if spot.rtl else spot.box.x + side / 2
            center = (spot, x, spot.first_line)
            if before and before[0].index == n - 1 and before[1] == x:
                _add_join(composer, before[0], spot, x, side)
            box = Box(x - side / 2, spot.first_line - side / 2, side, side)
            composer.add_panel(
                box, f"mark {n + 1}", color=theme.accents[0], radius=side, delay=0.1, beat=n,
                page=spot.page,
            )  # fmt: skip
            number = next(masks)
            composer.add_text(
                number, x - number.left - number.mask.shape[1] / 2,
                spot.first_line - number.top - number.mask.shape[0] / 2, f"number {n + 1}", beat=n,
                page=spot.page, color=theme.background, delay=0.15, slide=(0, 0),
            )  # fmt: skip
        elif label == DOT:
            dot = 0.34 * plan.size
            x = spot.box.right - dot if spot.rtl else spot.box.x
            composer.add_panel(
                Box(x, spot.first_line - dot / 2, dot, dot), f"mark {n + 1}", beat=n,
                color=theme.accents[0], radius=dot / 3, page=spot.page,
            )  # fmt: skip
        elif label:
            number = next(masks)
            x = spot.box.right - number.right if spot.rtl else spot.box.x - number.left
            y = spot.box.y - min(spot.text_mask.top, 0)
            composer.add_text(
                number, x, y, f"number {n + 1}", beat=n, page=spot.page, color=theme.accents[0],
                slide=(0, 0),
            )  # fmt: skip
        before = center
        add_list_item(composer, spot, f"{part} {n + 1}")
    return composer.build_timeline(len(texts), plan.pages)


def _add_join(composer: Composer, above: ListItem, below: ListItem, x: float, side: float) -> None:
    start, end = above.first_line + side / 2, below.first_line - side / 2
    if above.page == below.page and above.rtl == below.rtl and end - start > composer.em:
        join = Stroke(((x, start), (x, end)), 0.5 * composer.em, composer.theme.line)
        n = below.index
        composer.entries.append(TimelineEntry(join, n, f"join {n + 1}", page=below.page))


@dataclass(frozen=True, eq=False)
class ListItem:
    """One item of a list: its text mask, its box (marker and text), and its page."""

    index: int
    text_mask: TextMask
    box: Box
    text_x: float
    page: int
    rtl: bool
    first_line: float  # the middle of its first line, pixels from the top


@dataclass(frozen=True, eq=False)
class ListLayout:
    """The positions of all items of a list; ``pages`` holds the first item of each page."""

    items: tuple[ListItem, ...]
    pages: tuple[int, ...]
    size: float


def add_list_item(composer: Composer, spot: ListItem, name: str) -> None:
    slide = 2.2 * composer.em * (1 if spot.rtl else -1)
    y = spot.box.y - min(spot.text_mask.top, 0)
    composer.add_text(
        spot.text_mask, spot.text_x, y, name, beat=spot.index, slide=(slide, 0), page=spot.page
    )


def layout_list(
    composer: Composer,
    texts: Sequence[str],
    body: Box,
    *,
    indent: float,
    part: str,
    columns: bool = True,
    levels: Sequence[int] = (),
) -> ListLayout:
    """Lay out ``texts`` in ``body`` at the largest type that fits: one column, two columns, or
    pages.

    ``indent`` is the width of the marker, relative to the type size; ``levels`` tell how deep each
    item lies in lists within lists.

    Raises:
        SceneDoesNotFit: an item does not fit even on its own page.
    """
    lists = _ListFitter(composer, texts, body, indent, levels or (0,) * len(texts))
    two = columns and composer.frame.is_wide and len(texts) > 3
    attempts = [(1, scale, 1) for scale in SCALES[:3]]
    attempts += [(2, scale, 1) for scale in SCALES[:4]] if two else []
    attempts += [(1, scale, 1) for scale in SCALES[3:5]]
    attempts += [(1, scale, len(texts)) for scale in (*SCALES, 0.55, MIN_TEXT_SIZE / _BODY)]
    for count, scale, most in attempts:
        plan = lists.layout_at(_BODY * composer.em * scale, count, most)
        if plan:
            return plan
    longest = max(range(len(texts)), key=lambda index: len(texts[index]))
    raise SceneDoesNotFit(f"{part} {longest + 1} is too long for this frame: shorten it")


class _ListFitter:
    def __init__(
        self,
        composer: Composer,
        texts: Sequence[str],
        body: Box,
        indent: float,
        levels: Sequence[int],
    ) -> None:
        self.levels = levels
        self.composer, self.texts, self.body, self.indent = composer, texts, body, indent
        self.total_height = 0.0  # of all items, at size 1
        language = composer.canvas.language
        self.rtl = [is_rtl(sanitize_text(text), language) for text in texts]
        self.is_rtl = is_rtl(sanitize_text(" ".join(texts)), language)

    def layout_at(self, size: float, columns: int, most_pages: int) -> ListLayout | None:
        """All items at ``size``; None where they need more than ``most_pages``."""
        gutter = 5 * self.composer.em if columns == 2 else 0.0
        width = (self.body.width - gutter) / columns
        deeper = [min(_LEVEL * size * level, 0.35 * width) for level in self.levels]
        room = width - self.indent * size
        if most_pages == 1 and self.total_height * size**2 > 1.3 * self.body.height:
            return None  # certainly too much: text takes room by the square of its size
        inks = self.composer.typeset(
            [
                Paragraph(text, size, room - deep)
                for text, deep in zip(self.texts, deeper, strict=True)
            ]
        )
        gap = _GAP * size
        self.total_height = sum(map(ink_height, inks)) / columns / size**2
        shelves = _fill_columns([ink_height(ink) for ink in inks], gap, self.body.height)
        if shelves is None or -(-len(shelves) // columns) > most_pages:
            return None
        if columns == 2:
            shelves = _balance_columns([ink_height(ink) for ink in inks], gap, self.body.height)
        spots: list[ListItem] = []
        pages: list[int] = []
        for number, shelf in enumerate(shelves):
            page, column = divmod(number, columns)
            if column == 0:
                pages.append(shelf[0])
            place = columns - 1 - column if self.is_rtl else column  # the first is on the right
            x = self.body.x + place * (width + gutter)
            heights = [ink_height(inks[index]) for index in shelf]
            spots += self._column(inks, shelf, heights, Box(x, 0, width, 0), size, page, deeper)
        return ListLayout(tuple(spots), tuple(pages), size)

    def _column(
        self,
        inks: list[TextMask],
        shelf: list[int],
        heights: list[float],
        column: Box,
        size: float,
        page: int,
        deeper: Sequence[float],
    ) -> list[ListItem]:
        spare = self.body.height - sum(heights)
        gap = min(spare / max(len(shelf), 1), 1.15 * size)
        total = sum(heights) + gap * (len(shelf) - 1)
        y = self.body.y + (self.body.height - total) * 0.4
        spots: list[ListItem] = []
        for index, height in zip(shelf, heights, strict=True):
            rtl, deep = self.rtl[index], deeper[index]
            box = Box(column.x if rtl else column.x + deep, y, column.width - deep, height)
            text_x = box.x if rtl else box.x + self.indent * size
            line = y - min(inks[index].top, 0) + 0.69 * size
            spots.append(ListItem(index, inks[index], box, text_x, page, rtl, line))
            y += height + gap
        return spots


def _fill_columns(heights: list[float], gap: float, room: float) -> list[list[int]] | None:
    """Fill columns in order up to ``room``; return ``None`` if an item is too tall."""
    shelves: list[list[int]] = []
    filled = room + 1
    for index, height in enumerate(heights):
        if height > room:
            return None
        if filled + gap + height > room:
            shelves.append([])
            filled = -gap
        shelves[-1].append(index)
        filled += gap + height
    return shelves


def _balance_columns(heights: list[float], gap: float, room: float) -> list[list[int]]:
    """Split items into two columns so that the taller one is as low as possible."""
    count = len(heights)

    def tallest(split: int) -> float:
        parts = heights[:split], heights[split:]
        return max(sum(part) + gap * (len(part) - 1) for part in parts)

    split = min(range((count + 1) // 2, count), key=tallest)
    if tallest(split) > room:
        return _fill_columns(heights, gap, room) or []
    return [list(range(split)), list(range(split, count))]
