"""Draw bar charts: bars that grow from zero, with values above and names below."""

from __future__ import annotations

from models.schemas.drawn_scenes import PlotScene
from models.slides.composer import Composer, ink_height
from models.slides.errors import SceneDoesNotFit
from models.slides.layout import SCALES, Box
from models.slides.scenes.axes import Axes
from models.slides.shapes import BarShape
from models.slides.timeline import SceneTimeline, TimelineEntry
from models.typesetting.typeset import Paragraph, TextMask


def draw_bars(scene: PlotScene, composer: Composer, body: Box) -> SceneTimeline:
    """Lay out a bar chart; each bar is a beat."""
    values = [bar.value for bar in scene.bars]
    low, high = min(0.0, *values), max(0.0, *values)
    edge = (high - low) * 0.12 or 1.0
    y_span = scene.y_range or (low - edge * (low < 0), high + edge * (high > 0 or low == high))
    em, count = composer.em, len(values)
    names, lines = _names(composer, scene, body)
    area = Box(body.x, body.y, body.width, body.height - lines)
    axes = Axes(composer, area, (0.0, float(count)), y_span)
    axes.draw("", scene.y_label, numbers=False)
    figures = composer.typeset(
        [Paragraph(f"{value:g}".replace("-", "−"), 3.2 * em) for value in values]
    )
    base = axes.y(min(max(0.0, y_span[0]), y_span[1]))
    for index, (value, name, figure) in enumerate(zip(values, names, figures, strict=True)):
        left, right = axes.x(index + 0.18), axes.x(index + 0.82)
        top = axes.y(min(max(value, y_span[0]), y_span[1]))
        full = Box(left, min(top, base), right - left, max(abs(top - base), 1.0))
        color = composer.theme.accents[0]
        composer.entries.append(
            TimelineEntry(BarShape(full, base, color), index, f"bar {index + 1}", seconds=0.8)
        )
        middle = (left + right) / 2
        x = middle - figure.left - figure.mask.shape[1] / 2
        y = full.bottom + 0.8 * em if value < 0 else full.y - 0.8 * em - figure.mask.shape[0]
        fits = figure.mask.shape[1] <= axes.box.width / count
        if fits and axes.box.expanded(em * 3).y <= y:
            composer.add_text(
                figure, x, y - figure.top, f"value {index + 1}", beat=index, delay=0.4
            )
        below = axes.box.bottom + 1.4 * em - min(name.top, 0)
        cell = axes.box.width / count
        composer.add_text(
            name, axes.box.x + cell * index + cell * 0.06, below, f"name {index + 1}",
            beat=index, color=composer.theme.muted,
        )  # fmt: skip
    return composer.build_timeline(count)


def _names(composer: Composer, scene: PlotScene, body: Box) -> tuple[list[TextMask], float]:
    """Typeset the bars' names in the cells below them; return them and their extra height."""
    em = composer.em
    cell = (body.width - 14 * em) / len(scene.bars)
    for scale in SCALES:
        size = 3.3 * em * scale
        names = composer.typeset(
            [Paragraph(bar.label, size, cell * 0.88, align="center") for bar in scene.bars]
        )
        tall = max(map(ink_height, names))
        if tall <= 0.25 * body.height:
            return names, max(0.0, tall - 5 * em)
    raise SceneDoesNotFit("the names of the bars are too long for this frame: shorten them")
