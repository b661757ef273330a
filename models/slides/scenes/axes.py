"""Draw the axes of plots and bar charts."""

from __future__ import annotations

from models.slides.composer import Composer, ink_height
from models.slides.errors import SceneDoesNotFit
from models.slides.layout import Box
from models.slides.plotting.ticks import axis_ticks, tick_label
from models.slides.shapes import Point, Stroke, mix_colors
from models.slides.timeline import FROM_START, TimelineEntry
from models.typesetting.typeset import Paragraph

_TICK_SIZE = 3.1  # em


ValueRange = tuple[float, float]


def _is_in(value: float, span: ValueRange) -> bool:
    return span[0] <= value <= span[1]


class Axes:
    """Two axes with ticks inside ``area``; ``box`` is the plot area between them, in pixels."""

    def __init__(
        self, composer: Composer, area: Box, x_span: ValueRange, y_span: ValueRange
    ) -> None:
        self.composer, self.x_span, self.y_span = composer, x_span, y_span
        em = composer.em
        self.size = _TICK_SIZE * em
        self.y_ticks = axis_ticks(*y_span, 5 if area.height < 60 * em else 7)
        self.y_labels = composer.typeset(_labels(self.y_ticks, self.size))
        margin = max((label.mask.shape[1] for label in self.y_labels), default=0) + 1.8 * em
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
        for value, label in zip(self.y_ticks, self.y_labels, strict=True):
            self._line((box.x, self.y(value)), (box.right, self.y(value)), "grid", 0.14)
            x = box.x - 1.2 * em - label.left - label.mask.shape[1]
            y = self.y(value) - label.top - label.mask.shape[0] / 2
            composer.add_text(label, x, y, "y tick", color=theme.muted)
        if numbers:
            self._x_numbers()
        zero_y = self.y(0) if _is_in(0, self.y_span) else box.bottom
        zero_x = self.x(0) if _is_in(0, self.x_span) and numbers else box.x
        self._line((box.x, zero_y), (box.right, zero_y), "x axis", 0.36)
        self._line((zero_x, box.bottom), (zero_x, box.y), "y axis", 0.36)
        if x_label:
            label, _ = composer.fit_paragraph(
                x_label, self.size * 1.05, box.width, self.size * 1.7, "the label of the x axis",
                align="right",
            )  # fmt: skip
            top = box.bottom + self.size * 1.75
            composer.add_text(label, box.x, top - min(label.top, 0), "x label", color=theme.muted)
        if y_label:
            label, _ = composer.fit_paragraph(
                y_label, self.size * 1.05, box.width, self.size * 1.7, "the label of the y axis",
                align="left",
            )  # fmt: skip
            top = box.y - 1.2 * em - ink_height(label)
            composer.add_text(label, box.x, top - min(label.top, 0), "y label", color=theme.muted)

    def _x_numbers(self) -> None:
        composer, box = self.composer, self.box
        for about in (10, 8, 6, 4, 2):
            ticks = axis_ticks(*self.x_span, about)
            labels = composer.typeset(_labels(ticks, self.size))
            room = box.width / max(len(ticks), 1)
            if max((label.mask.shape[1] for label in labels), default=0) < 0.75 * room:
                break
        for value, label in zip(ticks, labels, strict=True):
            x = self.x(value)
            self._line((x, box.bottom), (x, box.y), "grid", 0.14)
            left = x - label.left - label.mask.shape[1] / 2
            top = box.bottom + 0.25 * self.size
            composer.add_text(label, left, top, "x tick", color=composer.theme.muted)

    def _line(self, a: Point, b: Point, name: str, width: float) -> None:
        composer = self.composer
        theme = composer.theme
        grid = mix_colors(theme.background, theme.line, 0.45)
        color = grid if name == "grid" else theme.muted
        stroke = Stroke((a, b), max(1.0, width * composer.em), color)
        composer.entries.append(TimelineEntry(stroke, FROM_START, name, seconds=0.5))


def _labels(ticks: list[float], size: float) -> list[Paragraph]:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return [Paragraph(tick_label(value, step), size) for value in ticks]
