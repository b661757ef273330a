"""Plot scenes: curves that are drawn on, points, bars; axes with round numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.slides.composer import Composer, ink_height
from models.slides.errors import BadFunction, SceneDoesNotFit
from models.slides.layout import Box
from models.slides.plotting.expressions import parse_function, sample_curves
from models.slides.plotting.ticks import axis_ticks, tick_label
from models.slides.shapes import CurveShape, Point, Stroke, mix_colors
from models.slides.timeline import FROM_START, TimelineEntry
from models.typesetting.typeset import Paragraph

if TYPE_CHECKING:
    from models.schemas.lesson import PlotScene
    from models.slides.canvas import Canvas
    from models.slides.timeline import SceneTimeline

_TICK_SIZE = 3.1  # em
ValueRange = tuple[float, float]


@dataclass(frozen=True)
class _Series:
    """One thing that is drawn on: lines between values, and dots."""

    lines: tuple[tuple[Point, ...], ...]
    dots: tuple[Point, ...] = ()
    name: str = ""


def draw_plot(scene: PlotScene, canvas: Canvas) -> SceneTimeline:
    """Each function, the points, or each bar is a beat; axes are there from the start."""
    composer = Composer(canvas)
    body = composer.add_heading(scene.heading)
    if scene.bars:
        from models.slides.scenes.bars import draw_bars

        return draw_bars(scene, composer, body)
    x_span = scene.x_range or _data_span([p.x for p in scene.points]) or (-10.0, 10.0)
    series = _read_series(scene, x_span)
    y_span = scene.y_range or _y_span(series)
    area = _legend(composer, body, series)
    axes = Axes(composer, area, x_span, y_span)
    axes.draw(scene.x_label, scene.y_label)
    for index, one in enumerate(series):
        colour = composer.theme.accents[index % len(composer.theme.accents)]
        lines = tuple(
            tuple(axes.at(x, y) for x, y in line) for piece in one.lines
            for line in _clip_to_span(piece, y_span)
        )  # fmt: skip
        inside = [p for p in one.dots if _is_in(p[0], x_span) and _is_in(p[1], y_span)]
        dots = tuple(axes.at(x, y) for x, y in inside)
        if not lines and not dots:
            raise BadFunction(f"{one.name or 'the data'} lies outside the plot's ranges")
        pieces = CurveShape(lines, 0.75 * composer.em, colour, axes.box, dots, 1.1 * composer.em)
        drawn = TimelineEntry(pieces, index, f"curve {index + 1}", seconds=1.2, beat_fraction=0.7)
        composer.entries.append(drawn)
    return composer.build_timeline(len(series))


def _read_series(scene: PlotScene, x_span: ValueRange) -> list[_Series]:
    found: list[_Series] = []
    for number, source in enumerate(scene.functions, 1):
        try:
            function = parse_function(source)
            pieces = sample_curves(function, *x_span)
        except BadFunction as error:
            raise BadFunction(f"function {number} ({source}): {error}") from error
        lines = tuple(
            tuple(zip(x.tolist(), y.tolist(), strict=True)) for x, y in pieces
        )  # fmt: skip
        found.append(_Series(lines, name=function.source))
    if scene.points:
        points = tuple(sorted((p.x, p.y) for p in scene.points))
        found.append(_Series((points,) if scene.connect else (), points))
    return found


def _data_span(values: list[float]) -> ValueRange | None:
    if not values:
        return None
    low, high = min(values), max(values)
    edge = (high - low) * 0.04 or max(abs(high) * 0.5, 1.0)
    return low - edge, high + edge


def _y_span(series: list[_Series]) -> ValueRange:
    """What the curves reach; where they run to a pole, what most of them reach."""
    import numpy as np

    values = [y for one in series for line in (*one.lines, one.dots) for _, y in line]
    low, high = float(min(values)), float(max(values))
    usual_low, usual_high = (float(v) for v in np.percentile(values, [4, 96]))
    usual = usual_high - usual_low
    if any(one.lines and not one.dots for one in series) and high - low > 5 * usual > 0:
        low, high = max(low, usual_low - 0.3 * usual), min(high, usual_high + 0.3 * usual)
    return _data_span([low, high]) or (-1.0, 1.0)


def _is_in(value: float, span: ValueRange) -> bool:
    return span[0] <= value <= span[1]


def _clip_to_span(line: tuple[Point, ...], span: ValueRange) -> list[tuple[Point, ...]]:
    """The parts of ``line`` that are inside ``span`` vertically, cut where they leave it."""
    parts: list[list[Point]] = [[]]
    for a, b in itertools.pairwise(line):
        (ax, ay), (bx, by) = a, b
        low, high = 0.0, 1.0
        for edge, sign in ((span[0], 1.0), (span[1], -1.0)):
            before, after = (ay - edge) * sign, (by - edge) * sign
            if before < 0 and after < 0:
                low, high = 1.0, 0.0
            elif before < 0:
                low = max(low, before / (before - after))
            elif after < 0:
                high = min(high, before / (before - after))
        if low < high:
            if not parts[-1]:
                parts[-1].append((ax + (bx - ax) * low, ay + (by - ay) * low))
            parts[-1].append((ax + (bx - ax) * high, ay + (by - ay) * high))
        if (high < 1 or low >= high) and parts[-1]:
            parts.append([])
    return [tuple(part) for part in parts if len(part) > 1]


def _legend(composer: Composer, body: Box, series: list[_Series]) -> Box:
    """Names of several functions in a row above the plot; the room that is left."""
    em = composer.em
    named = [one for one in series if one.name]
    if len(series) < 2:
        return body
    inks = composer.typeset([Paragraph(one.name, 3.3 * em) for one in named])
    x, y = body.x, body.y - 1.2 * em
    row = max((ink_height(ink) for ink in inks), default=0)
    for index, ink in enumerate(inks):
        width = 4.4 * em + ink.mask.shape[1]
        if width > body.width:
            raise SceneDoesNotFit(f"function {index + 1} is too long for the legend: shorten it")
        if x + width > body.right and x > body.x:
            x, y = body.x, y + row + 0.8 * em
        colour = composer.theme.accents[index % len(composer.theme.accents)]
        line = Stroke(((x, y + row * 0.55), (x + 3 * em, y + row * 0.55)), 0.8 * em, colour)
        composer.entries.append(TimelineEntry(line, index, f"key {index + 1}"))
        composer.add_text(ink, x + 4.2 * em, y - min(ink.top, 0), f"legend {index + 1}", beat=index)
        x += width + 3 * em
    top = y + row + 2 * em
    return Box(body.x, top, body.width, body.bottom - top)


class Axes:
    """Two axes with ticks in ``area``; ``box`` is the field inside them.

    With ``names`` given the x axis carries those at equal distances (a bar chart's).
    """

    def __init__(
        self, composer: Composer, area: Box, x_span: ValueRange, y_span: ValueRange
    ) -> None:
        self.composer, self.x_span, self.y_span = composer, x_span, y_span
        em = composer.em
        self.size = _TICK_SIZE * em
        self.y_ticks = axis_ticks(*y_span, 5 if area.height < 60 * em else 7)
        self.y_labels = composer.typeset(_labels(self.y_ticks, self.size))
        margin = max((ink.mask.shape[1] for ink in self.y_labels), default=0) + 1.8 * em
        self.box = Box(
            area.x + margin,
            area.y + 5 * em,
            area.width - margin - 2 * em,
            area.height - 5 * em - self.size * 3.4,
        )
        if self.box.height < 12 * em:
            raise SceneDoesNotFit("there is no room left for the plot: shorten the heading")

    def at(self, x: float, y: float) -> Point:
        return self.x(x), self.y(y)

    def x(self, value: float) -> float:
        low, high = self.x_span
        return self.box.x + (value - low) / (high - low) * self.box.width

    def y(self, value: float) -> float:
        low, high = self.y_span
        return self.box.bottom - (value - low) / (high - low) * self.box.height

    def draw(self, x_label: str, y_label: str, *, numbers: bool = True) -> None:
        composer, em, box = self.composer, self.composer.em, self.box
        theme = composer.theme
        for value, ink in zip(self.y_ticks, self.y_labels, strict=True):
            self._line((box.x, self.y(value)), (box.right, self.y(value)), "grid", 0.14)
            x = box.x - 1.2 * em - ink.left - ink.mask.shape[1]
            y = self.y(value) - ink.top - ink.mask.shape[0] / 2
            composer.add_text(ink, x, y, "y tick", color=theme.muted)
        if numbers:
            self._x_numbers()
        zero_y = self.y(0) if _is_in(0, self.y_span) else box.bottom
        zero_x = self.x(0) if _is_in(0, self.x_span) and numbers else box.x
        self._line((box.x, zero_y), (box.right, zero_y), "x axis", 0.36)
        self._line((zero_x, box.bottom), (zero_x, box.y), "y axis", 0.36)
        if x_label:
            ink, _ = composer.fit_paragraph(
                x_label, self.size * 1.05, box.width, self.size * 1.7, "the label of the x axis",
                align="end",
            )  # fmt: skip
            top = box.bottom + self.size * 1.75
            composer.add_text(ink, box.x, top - min(ink.top, 0), "x label", color=theme.muted)
        if y_label:
            ink, _ = composer.fit_paragraph(
                y_label, self.size * 1.05, box.width, self.size * 1.7, "the label of the y axis"
            )
            top = box.y - 1.2 * em - ink_height(ink)
            composer.add_text(ink, box.x, top - min(ink.top, 0), "y label", color=theme.muted)

    def _x_numbers(self) -> None:
        composer, box = self.composer, self.box
        for about in (10, 8, 6, 4, 2):
            ticks = axis_ticks(*self.x_span, about)
            inks = composer.typeset(_labels(ticks, self.size))
            room = box.width / max(len(ticks), 1)
            if max((ink.mask.shape[1] for ink in inks), default=0) < 0.75 * room:
                break
        for value, ink in zip(ticks, inks, strict=True):
            x = self.x(value)
            self._line((x, box.bottom), (x, box.y), "grid", 0.14)
            left = x - ink.left - ink.mask.shape[1] / 2
            top = box.bottom + 0.25 * self.size
            composer.add_text(ink, left, top, "x tick", color=composer.theme.muted)

    def _line(self, a: Point, b: Point, name: str, width: float) -> None:
        composer = self.composer
        theme = composer.theme
        grid = mix_colors(theme.background, theme.line, 0.45)
        colour = grid if name == "grid" else theme.muted
        stroke = Stroke((a, b), max(1.0, width * composer.em), colour)
        composer.entries.append(TimelineEntry(stroke, FROM_START, name, seconds=0.5))


def _labels(ticks: list[float], size: float) -> list[Paragraph]:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return [Paragraph(tick_label(value, step), size) for value in ticks]
