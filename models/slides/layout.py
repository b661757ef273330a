"""Boxes and the areas of a frame."""

from __future__ import annotations

from dataclasses import dataclass

# Sizes that are tried for a text, largest first.
SCALES = (1.0, 0.92, 0.84, 0.76, 0.68, 0.62)
EMERGENCY_SCALES = (0.55, 0.48, 0.42, 0.36, 0.31)  # for a line that begins very large
MIN_TEXT_SIZE = 2.6  # em: nothing is set smaller, or it could not be read on a phone


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; ``x`` and ``y`` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def center(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def expanded(self, by: float) -> Box:
        return Box(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)


@dataclass(frozen=True)
class FrameLayout:
    """The measures that every scene uses: ``em`` is a hundredth of the frame's shorter side."""

    width: int
    height: int

    @property
    def em(self) -> float:
        return min(self.width, self.height) / 100

    @property
    def safe_area(self) -> Box:
        """Return the area inside the margins; players put subtitles below it."""
        side, top, below = 7 * self.em, 7 * self.em, 10 * self.em
        return Box(side, top, self.width - 2 * side, self.height - top - below)

    @property
    def is_wide(self) -> bool:
        return self.width >= 1.3 * self.height
