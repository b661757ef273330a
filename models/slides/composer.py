"""Compose scenes: typeset and place text, headings, captions and panels."""

from __future__ import annotations

from collections.abc import Sequence

from models.slides.background import background
from models.slides.canvas import Canvas
from models.slides.errors import SceneDoesNotFit
from models.slides.layout import EMERGENCY_SCALES, MIN_TEXT_SIZE, SCALES, Box, FrameLayout
from models.slides.shapes import MaskSprite, rounded_rectangle_mask
from models.slides.theme import Color
from models.slides.timeline import FROM_START, SceneTimeline, TimelineEntry
from models.typesetting.typeset import Equation, Paragraph, TextMask, typeset


class Composer:
    """Collect the timeline entries of one scene."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas, self.theme = canvas, canvas.theme
        self.frame = FrameLayout(canvas.width, canvas.height)
        self.em, self.safe = self.frame.em, self.frame.safe_area
        self.background = background(canvas.theme, canvas.width, canvas.height)
        self.entries: list[TimelineEntry] = []

    def typeset(self, blocks: Sequence[Paragraph | Equation]) -> list[TextMask]:
        return typeset(blocks, self.canvas.language)

    def typeset_one(self, block: Paragraph | Equation) -> TextMask:
        return self.typeset([block])[0]

    def build_timeline(self, beats: int, pages: Sequence[int] = (0,)) -> SceneTimeline:
        return SceneTimeline(self.background, self.entries, beats, pages)

    def add_text(
        self,
        text_mask: TextMask,
        x: float,
        y: float,
        name: str,
        *,
        beat: int = FROM_START,
        color: Color | None = None,
        slide: tuple[float, float] | None = None,
        delay: float = 0.0,
        seconds: float = 0.5,
        page: int | None = 0,
        flash_color: Color | None = None,
    ) -> None:
        """Place a typeset block with its upper left corner at (x, y) in pixels."""
        if not text_mask.mask.size:
            return
        come = (0.0, 1.6 * self.em) if slide is None else slide
        ink_color = self.theme.text if color is None else color
        left, top = round(x) + text_mask.left, round(y) + text_mask.top
        sprite = MaskSprite(text_mask.mask, left, top, ink_color, come, flash_color)
        self.entries.append(TimelineEntry(sprite, beat, name, delay, seconds, page=page))

    def add_panel(
        self,
        box: Box,
        name: str,
        *,
        color: Color,
        beat: int = FROM_START,
        line: float | None = None,
        radius: float | None = None,
        delay: float = 0.0,
        slide: tuple[float, float] = (0.0, 0.0),
        page: int | None = 0,
    ) -> None:
        """Add a box with round corners: filled, or an outline of ``line`` pixels."""
        mask = rounded_rectangle_mask(box, 1.6 * self.em if radius is None else radius, line)
        sprite = MaskSprite(mask, round(box.x), round(box.y), color, slide)
        self.entries.append(TimelineEntry(sprite, beat, name, delay, page=page))

    def add_heading(self, text: str) -> Box:
        """Typeset the scene's heading, if any; return the area below it."""
        if not text:
            return self.safe
        em = self.em
        text_mask, _ = self.fit_paragraph(
            text, 6.2 * em, self.safe.width, 0.24 * self.safe.height, "the heading", weight=700
        )
        self.add_text(
            text_mask, self.safe.x, self.safe.y - min(text_mask.top, 0), "heading", page=None
        )
        bottom = self.safe.y - min(text_mask.top, 0) + max(text_mask.height, text_mask.bottom)
        bar = Box(self.safe.x, bottom + 0.5 * em, 9 * em, 0.8 * em)
        if (
            text_mask.left > self.safe.width / 2
            or text_mask.left + text_mask.mask.shape[1] > self.safe.width - em
        ):
            rtl = text_mask.left > em and text_mask.right >= self.safe.width - em
            bar = Box(self.safe.right - 9 * em, bar.y, bar.width, bar.height) if rtl else bar
        accent = self.theme.accents[0]
        self.add_panel(bar, "rule", color=accent, radius=em, delay=0.15, slide=(-em, 0), page=None)
        top = bar.bottom + 3.2 * em
        return Box(self.safe.x, top, self.safe.width, self.safe.bottom - top)

    def fit_paragraph(
        self,
        text: str,
        size: float,
        width: float,
        height: float,
        part: str,
        *,
        weight: int = 400,
        align: str = "start",
    ) -> tuple[TextMask, float]:
        """Typeset a paragraph at the largest size that fits; return its mask and size (pixels).
        pixels.

        Raises:
            SceneDoesNotFit: the text is too long at the minimum size; the message names ``part``.
        """
        serif = self.theme.serif and weight >= 700
        tall = 0.0
        for scale in (*SCALES, *EMERGENCY_SCALES):
            if scale < 1 and size * scale < MIN_TEXT_SIZE * self.em:
                break
            if tall * scale**2 > 1.3 * height:
                continue  # certainly too tall: text takes room by the square of its size
            paragraph = Paragraph(text, size * scale, width, weight, align, serif)
            text_mask = self.typeset_one(paragraph)
            if ink_height(text_mask) <= height:
                return text_mask, size * scale
            tall = ink_height(text_mask) / scale**2
        raise SceneDoesNotFit(f"{part} is too long for this frame: shorten {text[:40]!r}...")

    def add_caption(self, text: str, area: Box, beat: int, delay: float = 0.0) -> Box:
        """Add a muted line at the bottom of ``area``; return the area above it."""
        if not text:
            return area
        em = self.em
        text_mask, _ = self.fit_paragraph(
            text, 3.9 * em, area.width, 0.3 * area.height, "the caption", align="center"
        )
        height = max(text_mask.height, text_mask.bottom)
        self.add_text(
            text_mask, area.x, area.bottom - height, "caption", beat=beat, delay=delay,
            color=self.theme.muted,
        )  # fmt: skip
        return Box(
            area.x, area.y, area.width, area.height - height - 2.4 * em - max(-text_mask.top, 0)
        )


def ink_height(text_mask: TextMask) -> float:
    """Return a block's height in pixels, including marks beyond its line."""
    return max(text_mask.height, text_mask.bottom) - min(text_mask.top, 0)
