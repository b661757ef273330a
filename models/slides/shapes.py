"""Drawable elements of a scene: masks, images, lines, bars, countdowns.

Each element draws itself on a frame (uint8 RGB of shape (height, width, 3)) at a progress of 0
(invisible) to 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.slides.layout import Box
from models.slides.theme import Color
from models.typesetting.typeset import Mask

Frame = NDArray[np.uint8]


Point = tuple[float, float]


class Drawable(Protocol):
    """An element of a scene; ``box`` encloses all its pixels at progress 1."""

    @property
    def box(self) -> Box: ...

    def draw(self, frame: Frame, progress: float) -> None:
        """Draw on ``frame``, uint8 RGB (height, width, 3), in place; ``progress`` is in (0, 1]."""
        ...


def ease_out(progress: float) -> float:
    """Map ``progress`` (0..1) through a cubic ease-out: fast at first, then settling."""
    return 1 - (1 - min(max(progress, 0.0), 1.0)) ** 3


def mix_colors(first: Color, second: Color, share: float) -> Color:
    """Interpolate two colors: ``share`` 0 gives ``first``, 1 gives ``second``."""
    parts = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    red, green, blue = parts
    return red, green, blue


def blend_mask(frame: Frame, mask: Mask, left: int, top: int, color: Color, alpha: float) -> None:
    """Blend ``color`` into ``frame`` in place, weighted by ``mask`` and ``alpha`` (0..1).

    ``frame`` is uint8 RGB (height, width, 3). ``mask`` is uint8 coverage (rows, columns), 0..255,
    placed at ``left`` and ``top`` (pixels) and clipped to the frame.
    """

    height, width = frame.shape[:2]
    x, y = max(left, 0), max(top, 0)
    right, bottom = min(left + mask.shape[1], width), min(top + mask.shape[0], height)
    if x >= right or y >= bottom or alpha <= 0:
        return
    share = mask[y - top : bottom - top, x - left : right - left]
    region = frame[y:bottom, x:right]
    weight = (share.astype(np.uint16) * round(min(alpha, 1.0) * 256) >> 8)[..., None]
    mix = region * (255 - weight) + np.asarray(color, np.uint16) * weight
    # x * 257 >> 16, rounded, is x / 255 for every sum of two products of bytes
    region[...] = ((mix.astype(np.uint32) + 128) * 257 >> 16).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class MaskSprite:
    """A mask in one color that fades in while it slides by ``slide`` pixels (x, y) to its place.

    ``mask`` is uint8 coverage of shape (rows, columns). With ``flash_color`` it appears in that
    color and then fades to its own.
    """

    mask: Mask
    left: int
    top: int
    color: Color
    slide: tuple[float, float] = (0.0, 0.0)
    flash_color: Color | None = None

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.mask.shape[1], self.mask.shape[0])

    def draw(self, frame: Frame, progress: float) -> None:
        come = ease_out(progress * 2) if self.flash_color else ease_out(progress)
        away = 1 - come
        color = self.color
        if self.flash_color:
            color = mix_colors(self.flash_color, self.color, max(0.0, progress * 2 - 1))
        left = self.left + round(self.slide[0] * away)
        top = self.top + round(self.slide[1] * away)
        blend_mask(frame, self.mask, left, top, color, come)


@dataclass(frozen=True, eq=False)
class PhotoSprite:
    """An image that fades in while it slides to its place; uint8 RGB (rows, columns, 3)."""

    pixels: Frame
    left: int
    top: int
    slide: float = 0.0

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.pixels.shape[1], self.pixels.shape[0])

    def draw(self, frame: Frame, progress: float) -> None:

        come = ease_out(progress)
        top = self.top + round(self.slide * (1 - come))
        height, width = self.pixels.shape[:2]
        bottom = min(top + height, frame.shape[0])
        region = frame[top:bottom, self.left : self.left + width]
        visible = self.pixels[: bottom - top]
        region[...] = visible if come >= 1 else cv2.addWeighted(region, 1 - come, visible, come, 0)


@dataclass(frozen=True, eq=False)
class Stroke:
    """A line that is drawn along ``points``, with an optional arrow at its end."""

    points: tuple[Point, ...]
    width: float
    color: Color
    arrow_size: float = 0.0  # length of the arrow's head, pixels
    show_pen: bool = False  # a dot where it is being drawn

    @property
    def box(self) -> Box:
        xs, ys = zip(*self.points, strict=True)
        edge = self.width / 2 + 1
        return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)).expanded(edge)

    def draw(self, frame: Frame, progress: float) -> None:
        drawn = path_prefix(self.points, progress)
        if self.arrow_size:
            drawn = _shorten_line(drawn, self.arrow_size * 0.8)
        pieces = [drawn]
        polygon = (
            _arrow_head(path_prefix(self.points, progress), self.arrow_size)
            if self.arrow_size
            else ()
        )
        dots: list[tuple[Point, float]] = []
        if self.show_pen and progress < 1:
            dots.append((drawn[-1], self.width * 1.9))
        draw_lines(frame, pieces, self.width, self.color, polygon, dots)


@dataclass(frozen=True, eq=False)
class CurveShape:
    """Several lines that are drawn together from left to right: a curve with gaps."""

    lines: tuple[tuple[Point, ...], ...]
    width: float
    color: Color
    clip: Box
    dots: tuple[Point, ...] = ()
    dot_radius: float = 0.0

    @property
    def box(self) -> Box:
        return self.clip

    def draw(self, frame: Frame, progress: float) -> None:
        start, end = self._span()
        # slow at both ends: a hand starts and stops
        edge = start + (end - start) * (0.5 - 0.5 * math.cos(math.pi * progress))
        if progress >= 1:
            edge = math.inf
        shown = [cut for line in self.lines if len(cut := _line_until(line, edge)) > 1]
        dots = [(point, self.dot_radius) for point in self.dots if point[0] <= edge]
        if progress < 1 and shown:
            dots.append((shown[-1][-1], self.width * 1.9))
        draw_lines(frame, shown, self.width, self.color, (), dots, self.clip)

    def _span(self) -> tuple[float, float]:
        xs = [point[0] for line in (*self.lines, self.dots) for point in line]
        return min(xs), max(xs)


@dataclass(frozen=True, eq=False)
class BarShape:
    """A bar that grows from ``base_y`` (pixels from the top) to its full height."""

    full_box: Box
    base_y: float
    color: Color

    @property
    def box(self) -> Box:
        return self.full_box

    def draw(self, frame: Frame, progress: float) -> None:
        come = ease_out(progress)
        top = self.base_y + (self.full_box.y - self.base_y) * come
        bottom = self.base_y + (self.full_box.bottom - self.base_y) * come
        x, right = round(self.full_box.x), round(self.full_box.right)
        frame[round(top) : round(bottom), x:right] = self.color


@dataclass(frozen=True, eq=False)
class CountdownRing:
    """A ring that empties around the remaining seconds; it disappears at the end."""

    center: Point
    radius: float
    color: Color
    track_color: Color
    digits: tuple[Mask, ...]  # of 0, 1, 2...
    seconds: float
    text_color: Color

    @property
    def box(self) -> Box:
        x, y = self.center
        return Box(x, y, 0, 0).expanded(self.radius * 1.1)

    def draw(self, frame: Frame, progress: float) -> None:
        if progress >= 1:
            return
        left = 1 - progress
        circle = [self._at(turn / 96) for turn in range(97)]
        draw_lines(frame, [circle], self.radius * 0.16, self.track_color, (), [])
        arc = [self._at(left * turn / 96) for turn in range(97)]
        draw_lines(frame, [arc], self.radius * 0.16, self.color, (), [])
        mask = self.digits[min(math.ceil(left * self.seconds), len(self.digits) - 1)]
        x, y = self.center
        corner = round(x - mask.shape[1] / 2), round(y - mask.shape[0] / 2)
        blend_mask(frame, mask, *corner, self.text_color, 1.0)

    def _at(self, turn: float) -> Point:
        angle = 2 * math.pi * turn - math.pi / 2
        x, y = self.center
        return x + self.radius * math.cos(angle), y + self.radius * math.sin(angle)


@dataclass(frozen=True, eq=False)
class DimOverlay:
    """Fade the content of ``area`` towards the background."""

    area: Box
    background: Frame
    max_opacity: float = 0.66

    @property
    def box(self) -> Box:
        return self.area

    def draw(self, frame: Frame, progress: float) -> None:

        rows = slice(max(round(self.area.y), 0), round(self.area.bottom))
        columns = slice(max(round(self.area.x), 0), round(self.area.right))
        share = self.max_opacity * ease_out(progress)
        region = frame[rows, columns]
        region[...] = cv2.addWeighted(region, 1 - share, self.background[rows, columns], share, 0)


def draw_lines(
    frame: Frame,
    lines: Sequence[Sequence[Point]],
    width: float,
    color: Color,
    polygon: Sequence[Point],
    dots: Sequence[tuple[Point, float]],
    clip: Box | None = None,
) -> None:
    """Draw antialiased lines, one filled polygon and dots (center, radius) on ``frame`` in place.

    ``frame`` is uint8 RGB (height, width, 3); coordinates are pixels. ``clip`` limits the drawing.
    """

    lines = [line for line in lines if len(line) > 1]
    every = [point for line in (*lines, polygon) for point in line]
    every += [(x + s * r, y + s * r) for (x, y), r in dots for s in (-1, 1)]
    if not every:
        return
    xs, ys = zip(*every, strict=True)
    edge = width / 2 + 2
    x0, y0 = math.floor(min(xs) - edge), math.floor(min(ys) - edge)
    x1, y1 = math.ceil(max(xs) + edge), math.ceil(max(ys) + edge)
    if clip is not None:
        grown = clip.expanded(edge)
        x0, y0 = max(x0, math.floor(grown.x)), max(y0, math.floor(grown.y))
        x1, y1 = min(x1, math.ceil(grown.right)), min(y1, math.ceil(grown.bottom))
    x0, y0 = max(x0, 0), max(y0, 0)
    x1, y1 = min(x1, frame.shape[1]), min(y1, frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    # Drawn twice as large and averaged: OpenCV's own smooth lines are of whole pixels' width.
    mask = np.zeros((2 * (y1 - y0), 2 * (x1 - x0)), np.uint8)

    def fixed(points: Sequence[Point]) -> NDArray[np.int32]:
        scaled = (np.asarray(points, np.float64) - (x0, y0)) * 2 * 16
        return np.clip(np.round(scaled), -(2**26), 2**26).astype(np.int32)

    thick = max(1, round(2 * width))
    for line in lines:
        cv2.polylines(mask, [fixed(line)], False, 255, thick, cv2.LINE_AA, 4)
    if len(polygon) > 2:
        cv2.fillPoly(mask, [fixed(polygon)], 255, cv2.LINE_AA, 4)
    for center, radius in dots:
        at = fixed([center])[0]
        middle = int(at[0]), int(at[1])
        cv2.circle(mask, middle, round(radius * 32), 255, -1, cv2.LINE_AA, 4)
    small = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    blend_mask(frame, np.asarray(small, np.uint8), x0, y0, color, 1.0)


def path_prefix(points: Sequence[Point], share: float) -> list[Point]:
    """Return the first part of ``points``, up to ``share`` (0..1) of their length."""
    lengths = [math.dist(a, b) for a, b in itertools.pairwise(points)]
    remaining = sum(lengths) * min(max(share, 0.0), 1.0)
    drawn = [points[0]]
    for (a, b), length in zip(itertools.pairwise(points), lengths, strict=True):
        if length > remaining:
            part = remaining / length
            return [*drawn, (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part)]
        drawn.append(b)
        remaining -= length
    return drawn


def rounded_rectangle_mask(box: Box, radius: float, line: float | None = None) -> Mask:
    """Draw a rounded box of the size of ``box``: filled, or an outline of ``line`` pixels.

    Returns uint8 coverage of shape (rows, columns), 0..255.
    """

    width, height = round(box.width), round(box.height)
    image = Image.new("L", (4 * width, 4 * height))
    draw = ImageDraw.Draw(image)
    corner = min(radius, width / 2, height / 2) * 4
    whole = (0, 0, 4 * width - 1, 4 * height - 1)
    if line is None:
        draw.rounded_rectangle(whole, corner, fill=255)
    else:
        draw.rounded_rectangle(whole, corner, outline=255, width=max(4, round(4 * line)))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX), np.uint8)


def _shorten_line(points: Sequence[Point], by: float) -> list[Point]:
    whole = sum(math.dist(a, b) for a, b in itertools.pairwise(points))
    return path_prefix(points, 1 - by / whole) if whole > by else [points[0]]


def _arrow_head(points: Sequence[Point], size: float) -> Sequence[Point]:
    tip, tail = points[-1], _shorten_line(points, size)[-1]
    length = math.dist(tip, tail)
    if length < 1e-6:
        return ()
    dx, dy = (tip[0] - tail[0]) / length, (tip[1] - tail[1]) / length
    half = size * 0.46
    return (
        tip,
        (tail[0] - dy * half, tail[1] + dx * half),
        (tail[0] + dy * half, tail[1] - dx * half),
    )


def _line_until(line: tuple[Point, ...], edge: float) -> list[Point]:
    """Cut ``line``, whose x never falls, at x = ``edge``."""
    visible = [point for point in line if point[0] <= edge]
    if visible and len(visible) < len(line):
        (ax, ay), (bx, by) = visible[-1], line[len(visible)]
        visible.append((edge, ay + (by - ay) * (edge - ax) / max(bx - ax, 1e-9)))
    return visible
