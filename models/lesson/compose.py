"""The tools scenes are composed with: text set and placed, headings, lists that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.lesson.draw import Sprite, rounded
from models.lesson.errors import SceneDoesNotFit
from models.lesson.ground import ground
from models.lesson.layout import FLOOR, SCALES, SMALLER, Box, Frame
from models.lesson.timeline import START, Entry, Timeline
from models.lesson.typeset import Ink, Terms, Words, typeset

if TYPE_CHECKING:
    from models.lesson.stage import Stage
    from models.lesson.theme import Colour


class Composer:
    """Collects the entries of one scene."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.theme = stage, stage.theme
        self.frame = Frame(stage.width, stage.height)
        self.em, self.safe = self.frame.em, self.frame.safe
        self.ground = ground(stage.theme, stage.width, stage.height)
        self.entries: list[Entry] = []

    def set(self, blocks: Sequence[Words | Terms]) -> list[Ink]:
        return typeset(blocks, self.stage.language)

    def one(self, block: Words | Terms) -> Ink:
        return self.set([block])[0]

    def timeline(self, beats: int, pages: Sequence[int] = (0,)) -> Timeline:
        return Timeline(self.ground, self.entries, beats, pages)

    def place(
        self,
        ink: Ink,
        x: float,
        y: float,
        name: str,
        *,
        beat: int = START,
        colour: Colour | None = None,
        slide: tuple[float, float] | None = None,
        delay: float = 0.0,
        seconds: float = 0.5,
        page: int | None = 0,
        flash: Colour | None = None,
    ) -> None:
        """Put a set block with its upper left corner at (x, y)."""
        if not ink.mask.size:
            return
        come = (0.0, 1.6 * self.em) if slide is None else slide
        ink_colour = self.theme.ink if colour is None else colour
        left, top = round(x) + ink.left, round(y) + ink.top
        sprite = Sprite(ink.mask, left, top, ink_colour, come, flash)
        self.entries.append(Entry(sprite, beat, name, delay, seconds, page=page))

    def panel(
        self,
        box: Box,
        name: str,
        *,
        colour: Colour,
        beat: int = START,
        line: float | None = None,
        radius: float | None = None,
        delay: float = 0.0,
        slide: tuple[float, float] = (0.0, 0.0),
        page: int | None = 0,
    ) -> None:
        """A box with round corners: filled, or its outline of ``line`` pixels."""
        mask = rounded(box, 1.6 * self.em if radius is None else radius, line)
        sprite = Sprite(mask, round(box.x), round(box.y), colour, slide)
        self.entries.append(Entry(sprite, beat, name, delay, page=page))

    def heading(self, text: str) -> Box:
        """Set the scene's heading, if it has one; what is left below it is returned."""
        if not text:
            return self.safe
        em = self.em
        ink, _ = self.fitted(
            text, 6.2 * em, self.safe.width, 0.24 * self.safe.height, "the heading", weight=700
        )
        self.place(ink, self.safe.x, self.safe.y - min(ink.top, 0), "heading", page=None)
        bottom = self.safe.y - min(ink.top, 0) + max(ink.height, ink.bottom)
        bar = Box(self.safe.x, bottom + 0.5 * em, 9 * em, 0.8 * em)
        if ink.left > self.safe.width / 2 or ink.left + ink.mask.shape[1] > self.safe.width - em:
            rtl = ink.left > em and ink.right >= self.safe.width - em
            bar = Box(self.safe.right - 9 * em, bar.y, bar.width, bar.height) if rtl else bar
        accent = self.theme.accents[0]
        self.panel(bar, "rule", colour=accent, radius=em, delay=0.15, slide=(-em, 0), page=None)
        top = bar.bottom + 3.2 * em
        return Box(self.safe.x, top, self.safe.width, self.safe.bottom - top)

    def fitted(
        self,
        text: str,
        size: float,
        width: float,
        height: float,
        part: str,
        *,
        weight: int = 400,
        align: str = "start",
    ) -> tuple[Ink, float]:
        """One paragraph at the largest size that fits, and that size.

        Raises:
            SceneDoesNotFit: it is too long even at the floor; ``part`` names it.
        """
        serif = self.theme.serif and weight >= 700
        tall = 0.0
        for scale in (*SCALES, *SMALLER):
            if scale < 1 and size * scale < FLOOR * self.em:
                break
            if tall * scale**2 > 1.3 * height:
                continue  # certainly too tall: text takes room by the square of its size
            words = Words(text, size * scale, width, weight, align, serif)
            ink = self.one(words)
            if extent(ink) <= height:
                return ink, size * scale
            tall = extent(ink) / scale**2
        raise SceneDoesNotFit(f"{part} is too long for this frame: shorten {text[:40]!r}...")

    def caption(self, text: str, area: Box, beat: int, delay: float = 0.0) -> Box:
        """A muted line at the bottom of ``area``; what is left above it is returned."""
        if not text:
            return area
        em = self.em
        ink, _ = self.fitted(
            text, 3.9 * em, area.width, 0.3 * area.height, "the caption", align="center"
        )
        height = max(ink.height, ink.bottom)
        self.place(
            ink, area.x, area.bottom - height, "caption", beat=beat, delay=delay,
            colour=self.theme.muted,
        )  # fmt: skip
        return Box(area.x, area.y, area.width, area.height - height - 2.4 * em - max(-ink.top, 0))


def extent(ink: Ink) -> float:
    """How tall a block is with all its ink."""
    return max(ink.height, ink.bottom) - min(ink.top, 0)
