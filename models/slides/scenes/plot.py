"""Draw plots: animated curves, points and bars, with axes at round numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from models.formulas.functions import data_span, segment_is_seen
from models.schemas.drawn_scenes import PlotScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer, ink_height
from models.slides.errors import BadFunction, SceneDoesNotFit
from models.slides.layout import Box
from models.slides.plotting.expressions import parse_function, sample_curves
from models.slides.scenes.axes import Axes, ValueRange, _is_in
from models.slides.scenes.bars import draw_bars
from models.slides.shapes import CurveShape, Point, Stroke
from models.slides.timeline import SceneTimeline, TimelineEntry
from models.typesetting.typeset import Paragraph


@dataclass(frozen=True)
class _Series:
    """One series of a plot: lines between values, and dots."""

    lines: tuple[tuple[Point, ...], ...]
    dots: tuple[Point, ...] = ()
    name: str = ""


def draw_plot(scene: PlotScene, canvas: Canvas) -> SceneTimeline:
    """Lay out a plot. Each function, the points, or each bar is a beat; axes are always visible."""
    composer = Composer(canvas)
    body = composer.add_heading(scene.heading)
    if scene.bars:
        return draw_bars(scene, composer, body)
    x_span = scene.x_range or data_span([p.x for p in scene.points]) or (-10.0, 10.0)
    series = _read_series(scene, x_span)
    y_span = scene.y_range or _y_span(series)
    area = _legend(composer, body, series)
    axes = Axes(composer, area, x_span, y_span)
    axes.draw(scene.x_label, scene.y_label)
    for index, line_series in enumerate(series):
        color = composer.theme.accents[index % len(composer.theme.accents)]
        lines = tuple(
            tuple(axes.at(x, y) for x, y in line) for piece in line_series.lines
            for line in _clip_to_span(piece, y_span)
        )  # fmt: skip
        inside = [p for p in line_series.dots if _is_in(p[0], x_span) and _is_in(p[1], y_span)]
        dots = tuple(axes.at(x, y) for x, y in inside)
        pieces = CurveShape(lines, 0.75 * composer.em, color, axes.box, dots, 1.1 * composer.em)
        drawn = TimelineEntry(pieces, index, f"curve {index + 1}", seconds=1.2, beat_fraction=0.7)
        composer.entries.append(drawn)
    return composer.build_timeline(len(series))


def _read_series(scene: PlotScene, x_span: ValueRange) -> list[_Series]:
    series: list[_Series] = []
    for number, source in enumerate(scene.functions, 1):
        try:
            function = parse_function(source)
            pieces = sample_curves(function, *x_span)
        except BadFunction as error:
            raise BadFunction(f"function {number} ({source}): {error}") from error
        lines = tuple(
            tuple(zip(x.tolist(), y.tolist(), strict=True)) for x, y in pieces
        )  # fmt: skip
        series.append(_Series(lines, name=function.source))
    if scene.points:
        points = tuple(sorted((p.x, p.y) for p in scene.points))
        series.append(_Series((points,) if scene.connect else (), points))
    return series


def _y_span(series: list[_Series]) -> ValueRange:
    """Return the range of the curves' values; near poles, the range of most values."""

    values = [
        y
        for line_series in series
        for line in (*line_series.lines, line_series.dots)
        for _, y in line
    ]
    low, high = float(min(values)), float(max(values))
    usual_low, usual_high = (float(v) for v in np.percentile(values, [4, 96]))
    usual = usual_high - usual_low
    if (
        any(line_series.lines and not line_series.dots for line_series in series)
        and high - low > 5 * usual > 0
    ):
        usual_span = max(low, usual_low - 0.3 * usual), min(high, usual_high + 0.3 * usual)
        if all(_shows(line_series, usual_span) for line_series in series):
            low, high = usual_span
    return data_span([low, high]) or (-1.0, 1.0)


def _shows(line_series: _Series, span: ValueRange) -> bool:
    """Return whether something of the series is within the vertical ``span``."""
    return any(_is_in(y, span) for _, y in line_series.dots) or any(
        segment_is_seen(a[1], b[1], span)
        for line in line_series.lines
        for a, b in itertools.pairwise(line)
    )


def _clip_to_span(line: tuple[Point, ...], span: ValueRange) -> list[tuple[Point, ...]]:
    """Return the parts of ``line`` inside the vertical ``span``, cut at its limits."""
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
    """Add a row with the functions' names above the plot; return the remaining area."""
    em = composer.em
    named = [line_series for line_series in series if line_series.name]
    if len(series) < 2:
        return body
    labels = composer.typeset([Paragraph(line_series.name, 3.3 * em) for line_series in named])
    x, y = body.x, body.y - 1.2 * em
    row = max((ink_height(label) for label in labels), default=0)
    for index, label in enumerate(labels):
        width = 4.4 * em + label.mask.shape[1]
        if width > body.width:
            raise SceneDoesNotFit(f"function {index + 1} is too long for the legend: shorten it")
        if x + width > body.right and x > body.x:
            x, y = body.x, y + row + 0.8 * em
        color = composer.theme.accents[index % len(composer.theme.accents)]
        line = Stroke(((x, y + row * 0.55), (x + 3 * em, y + row * 0.55)), 0.8 * em, color)
        composer.entries.append(TimelineEntry(line, index, f"key {index + 1}"))
        composer.add_text(
            label, x + 4.2 * em, y - min(label.top, 0), f"legend {index + 1}", beat=index
        )
        x += width + 3 * em
    top = y + row + 2 * em
    return Box(body.x, top, body.width, body.bottom - top)
