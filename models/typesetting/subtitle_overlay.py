"""Subtitles drawn into the picture: white letters on a shade, near the lower edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from models.media.subtitles import Cue
from models.typesetting.plain_text import sanitize_text
from models.typesetting.typeset import Paragraph, TextMask, typeset

Frame = np.ndarray[Any, Any]


_SIZE = 0.05  # of the frame's shorter side
_WIDTH = 0.88  # of the frame's, for the letters
_LINE = 1.35  # of the letters' size, from one line to the next
_BELOW = 0.05  # of the frame's height, under the last line
_SHADE = 0.62
_PADDING = 0.5  # of the letters' size, around the lines


class SubtitleOverlay:
    """The subtitles of one scene, for frames of ``width`` x ``height`` pixels."""

    def __init__(self, cues: Sequence[Cue], width: int, height: int, language: str) -> None:
        """Cues are in seconds since the scene began.

        Raises:
            NoFont: some characters are in none of the fonts.
            TypesetterMissing: the typesetter is not installed.
        """
        self._cues = tuple(cues)
        self._width, self._height = width, height
        self._lines = _typeset_lines([cue.text for cue in cues], width, height, language)
        self._masks: dict[int, tuple[int, int, Any, Any]] = {}

    def draw_on(self, frame: Frame, t: float) -> Frame:
        """``frame`` (uint8 RGB) with what is said at ``t``; itself if nothing is."""

        number = next((i for i, cue in enumerate(self._cues) if cue.start <= t < cue.end), None)
        if number is None:
            return frame
        if number not in self._masks:
            self._masks[number] = self._render_block(number)
        top, left, shade, ink = self._masks[number]
        drawn = frame.copy()
        rows, columns = ink.shape[:2]
        part = drawn[top : top + rows, left : left + columns].astype(np.float32)
        part = part * (1 - shade) * (1 - ink) + 255 * ink
        drawn[top : top + rows, left : left + columns] = (part + 0.5).astype(np.uint8)
        return drawn

    def _render_block(self, number: int) -> tuple[int, int, Any, Any]:
        """Where the block stands, and the shares of its shade and its letters, 0..1."""

        inks = self._lines[number]
        size = _letters(self._width, self._height)
        pad = round(_PADDING * size)
        heights = [max(size * _LINE, ink.height) for ink in inks]
        wide = max((ink.mask.shape[1] for ink in inks), default=0)
        columns = min(wide + 4 * pad, self._width)
        rows = min(round(sum(heights)) + 2 * pad, self._height)
        letters = np.zeros((rows, columns), np.float32)
        for line, ink in enumerate(inks):
            high, across = (min(a, b) for a, b in zip(ink.mask.shape, letters.shape, strict=True))
            room = heights[line]
            top = round(pad + sum(heights[:line]) + (room - ink.height) / 2) + ink.top
            top = min(max(top, 0), rows - high)
            left = (columns - across) // 2
            letters[top : top + high, left : left + across] += (
                ink.mask[:high, :across].astype(np.float32) / 255
            )
        shade = np.zeros_like(letters)
        shade[pad : rows - pad, 2 * pad : columns - 2 * pad] = _SHADE
        shade = cv2.GaussianBlur(shade, (0, 0), max(pad * 0.6, 0.5))
        top = self._height - rows - round(_BELOW * self._height)
        left = (self._width - columns) // 2
        return max(top, 0), left, shade[..., None], np.clip(letters, 0, 1)[..., None]


def _typeset_lines(
    texts: Sequence[str], width: int, height: int, language: str
) -> list[list[TextMask]]:
    """The lines of each text; what is too wide for the frame is one block that was wrapped."""
    size = _letters(width, height)
    lines = [[sanitize_text(line) for line in text.split("\n")] for text in texts]
    inks = iter(
        typeset([Paragraph(one, size, weight=700) for text in lines for one in text], language)
    )
    found = [[next(inks) for _ in text] for text in lines]
    room = width * _WIDTH
    wide = [n for n, text in enumerate(found) if any(ink.mask.shape[1] > room for ink in text)]
    again = [Paragraph(" ".join(lines[n]), size, room, weight=700, align="center") for n in wide]
    for number, ink in zip(wide, typeset(again, language), strict=True):
        found[number] = [ink]
    return found


def _letters(width: int, height: int) -> float:
    return max(_SIZE * min(width, height), 6.0)
