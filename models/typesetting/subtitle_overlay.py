"""Burn subtitles into frames: white letters on a shade, near the lower edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.media.subtitles import Cue
from models.typesetting.plain_text import sanitize_text
from models.typesetting.typeset import Paragraph, TextMask, typeset

Frame = NDArray[np.uint8]


_SIZE = 0.05  # of the frame's shorter side
_WIDTH = 0.88  # of the frame's, for the letters
_LINE = 1.35  # of the letters' size, from one line to the next
_BELOW = 0.05  # of the frame's height, under the last line
_SHADE = 0.62
_PADDING = 0.5  # of the letters' size, around the lines


class SubtitleOverlay:
    """The subtitles of one scene, for frames of ``width`` x ``height`` pixels."""

    def __init__(self, cues: Sequence[Cue], width: int, height: int, language: str) -> None:
        """Typeset ``cues``, which are timed in seconds from the start of the scene.

        Raises:
            UnsupportedCharacters: no shipped font has some of the characters.
            TypesetterMissing: the typesetter is not installed.
        """
        self._cues = tuple(cues)
        self._width, self._height = width, height
        self._lines = _typeset_lines([cue.text for cue in cues], width, height, language)
        self._masks: dict[int, tuple[int, int, Any, Any]] = {}

    def draw_on(self, frame: Frame, t: float) -> Frame:
        """Draw the subtitle at ``t`` seconds on ``frame``, uint8 RGB (height, width, 3).

        Returns a new frame of the same shape and type, or ``frame`` itself without a subtitle.
        """

        number = next((i for i, cue in enumerate(self._cues) if cue.start <= t < cue.end), None)
        if number is None:
            return frame
        if number not in self._masks:
            self._masks[number] = self._render_block(number)
        top, left, shade, letters = self._masks[number]
        drawn = frame.copy()
        rows, columns = letters.shape[:2]
        part = drawn[top : top + rows, left : left + columns].astype(np.float32)
        part = part * (1 - shade) * (1 - letters) + 255 * letters
        drawn[top : top + rows, left : left + columns] = (part + 0.5).astype(np.uint8)
        return drawn

    def _render_block(self, number: int) -> tuple[int, int, Any, Any]:
        """Return the block's top and left in pixels, and the opacity of its shade and its letters.

        Both opacities are float32 of shape (rows, columns, 1) in 0..1.
        """

        text_masks = self._lines[number]
        size = _letters(self._width, self._height)
        pad = round(_PADDING * size)
        heights = [max(size * _LINE, text_mask.height) for text_mask in text_masks]
        wide = max((text_mask.mask.shape[1] for text_mask in text_masks), default=0)
        columns = min(wide + 4 * pad, self._width)
        rows = min(round(sum(heights)) + 2 * pad, self._height)
        letters = np.zeros((rows, columns), np.float32)
        for line, text_mask in enumerate(text_masks):
            high, across = (
                min(a, b) for a, b in zip(text_mask.mask.shape, letters.shape, strict=True)
            )
            room = heights[line]
            top = round(pad + sum(heights[:line]) + (room - text_mask.height) / 2) + text_mask.top
            top = min(max(top, 0), rows - high)
            left = (columns - across) // 2
            letters[top : top + high, left : left + across] += (
                text_mask.mask[:high, :across].astype(np.float32) / 255
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
    """Typeset each text line by line; a text that is too wide for the frame becomes one wrapped
    block.
    """
    size = _letters(width, height)
    lines = [[sanitize_text(line) for line in text.split("\n")] for text in texts]
    text_masks = iter(
        typeset(
            [Paragraph(line_text, size, weight=700) for text in lines for line_text in text],
            language,
        )
    )
    blocks = [[next(text_masks) for _ in text] for text in lines]
    room = width * _WIDTH
    wide = [
        n
        for n, text in enumerate(blocks)
        if any(text_mask.mask.shape[1] > room for text_mask in text)
    ]
    again = [Paragraph(" ".join(lines[n]), size, room, weight=700, align="center") for n in wide]
    for number, text_mask in zip(wide, typeset(again, language), strict=True):
        blocks[number] = [text_mask]
    return blocks


def _letters(width: int, height: int) -> float:
    return max(_SIZE * min(width, height), 6.0)
