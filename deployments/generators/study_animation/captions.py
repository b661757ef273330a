"""Burned subtitles: a band of their own below the scenes, so that they never cover anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.media.subtitles import Cue
from models.slides.theme import Theme
from models.typesetting.plain_text import sanitize_text
from models.typesetting.typeset import Paragraph, TextMask, typeset

Frame = NDArray[np.uint8]


_SIZES = (0.34, 0.3, 0.26, 0.22, 0.18)  # of the band's height
_WIDTH = 0.94  # of the frame's
_LINE = 0.42  # of the band's height, from one line to the next


class SubtitleBand:
    """The band of ``width`` x ``height`` pixels at any moment; ``cues`` in seconds of the scene."""

    def __init__(
        self, cues: Sequence[Cue], width: int, height: int, theme: Theme, language: str
    ) -> None:

        self._cues = tuple(cues)
        self._theme = theme
        self._empty: Frame = np.full((height, width, 3), theme.panel, np.uint8)
        self._empty[: max(1, height // 40)] = theme.line
        self._inks = _fit_lines([cue.text for cue in cues], width, height, language)
        self._drawn: dict[int, Frame] = {}

    def append_below(self, frame: Frame, t: float) -> Frame:
        """``frame`` with the band of the moment ``t`` below it."""

        return np.concatenate([frame, self._band(t)])

    def _band(self, t: float) -> Any:
        for number, cue in enumerate(self._cues):
            if cue.start <= t < cue.end:
                if number not in self._drawn:
                    self._drawn[number] = self._draw(self._inks[number])
                return self._drawn[number]
        return self._empty

    def _draw(self, lines: Sequence[TextMask]) -> Frame:

        band = self._empty.copy()
        step = band.shape[0] * _LINE
        for number, ink in enumerate(lines):
            rows, columns = (
                min(side, room) for side, room in zip(ink.mask.shape, band.shape, strict=False)
            )
            middle = band.shape[0] / 2 + (number - (len(lines) - 1) / 2) * step
            # Letters stand on one line, whatever sticks out of it above and below.
            top = round(middle - ink.height / 2) + ink.top
            top = min(max(top, 0), band.shape[0] - rows)
            left = (band.shape[1] - columns) // 2
            place = band[top : top + rows, left : left + columns].astype(np.float32)
            share = ink.mask[:rows, :columns, None].astype(np.float32) / 255
            place += (np.array(self._theme.text, np.float32) - place) * share
            band[top : top + rows, left : left + columns] = place.round().astype(np.uint8)
        return band


def _fit_lines(
    texts: Sequence[str], width: int, height: int, language: str
) -> list[list[TextMask]]:
    """The lines of each text, at the greatest size at which they fit."""
    lines = [sanitize_text(line) for text in texts for line in text.split("\n")]
    inks: dict[int, TextMask] = {}
    for size in _SIZES:
        missing = [number for number in range(len(lines)) if number not in inks]
        blocks = [Paragraph(lines[number], size * height) for number in missing]
        for number, ink in zip(missing, typeset(blocks, language), strict=True):
            if ink.mask.shape[1] <= width * _WIDTH or size == _SIZES[-1]:
                inks[number] = ink
    each = iter(inks[number] for number in range(len(lines)))
    return [[next(each) for _ in text.split("\n")] for text in texts]
