"""Build subtitle cues from word times and write them as SubRip or WebVTT.

A cue has at most two lines of 42 characters (Netflix Timed Text Style Guide, general requirements:
42 characters, two lines, 5/6 s to 7 s, a gap of 2 frames). SubRip has no specification; WebVTT is
https://www.w3.org/TR/webvtt1/.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from models.text.sentences import UNSPACED
from models.text.sentences import words as spans_of

LINE_CHARACTERS = 42
LINES = 2
MIN_SECONDS = 5 / 6
MAX_SECONDS = 7.0
GAP_SECONDS = 0.08
PAUSE_SECONDS = 0.7  # a silence of this length ends a cue
_BREAKABLE = re.compile(
    rf"[{UNSPACED}\u3000-\u303f\uff00-\uff65]"
)  # needs no space beside its like
_SENTENCE_END = (".", "!", "?", "…", "。", "！", "？", "।", "؟")


class InvalidSubtitles(ValueError):
    """A cue has no text, or its times are out of order."""


@dataclass(frozen=True)
class Cue:
    """A subtitle that players display from ``start`` to ``end`` (seconds). Newlines separate its
    lines.

    Raises:
        InvalidSubtitles: the cue does not end after it starts, or it has no text.
    """

    start: float
    end: float
    text: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise InvalidSubtitles(f"a cue cannot be shown from {self.start} s to {self.end} s")
        if not self.text.strip():
            raise InvalidSubtitles(f"the cue at {self.start} s has no text")


class TimedWord(Protocol):
    """A word with its punctuation; ``start`` and ``end`` in seconds."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


def cues_from_words(words: Sequence[TimedWord], end: float | None = None) -> list[Cue]:
    """Group ``words``, sorted by time, into readable cues.

    A cue ends with its sentence, before a pause, and before it would exceed two lines or seven
    seconds. A short cue stays on screen for :data:`MIN_SECONDS` if the next cue, or ``end`` (the
    film's length in seconds), leaves the time. Cues never overlap. A word wider than a line is
    split. Letters of scripts without spaces are joined without spaces.
    """
    groups: list[list[TimedWord]] = []
    for word in _pieces(words):
        if groups and _fits(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    cues: list[Cue] = []
    for number, group in enumerate(groups):
        start = group[0].start
        limit = groups[number + 1][0].start if number + 1 < len(groups) else end
        cue_end = min(max(group[-1].end, start + MIN_SECONDS), start + MAX_SECONDS)
        if limit is not None:
            cue_end = min(cue_end, max(limit - GAP_SECONDS, start + (limit - start) / 2))
        if cue_end > start:
            cues.append(Cue(start, cue_end, break_lines(_joined(group))))
    return cues


def break_lines(text: str) -> str:
    """Break ``text`` into as few lines as possible, of similar length and at most 42 columns.

    East Asian wide characters count as two columns, so such lines hold 21.
    """
    units = [piece for word in _words(text) for piece in _cut(word)]
    count = len(_fill_lines(units, LINE_CHARACTERS))
    # The narrowest width that needs no more lines: a last line of one word looks like a mistake.
    for width in range(LINE_CHARACTERS // 2, LINE_CHARACTERS + 1):
        lines = _fill_lines(units, width)
        if len(lines) <= count and all(display_width(line) <= LINE_CHARACTERS for line in lines):
            return "\n".join(lines)
    return "\n".join(_fill_lines(units, LINE_CHARACTERS))


def display_width(text: str) -> int:
    """Count the columns of ``text``: 2 for East Asian wide, 0 for combining, 1 for other
    characters.
    """
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def clip_cues(cues: Sequence[Cue], end: float, offset: float = 0.0) -> list[Cue]:
    """Shift ``cues`` by ``offset`` seconds and cut them at ``end`` seconds."""
    moved = [replace(cue, start=cue.start + offset, end=cue.end + offset) for cue in cues]
    return [replace(cue, end=min(cue.end, end)) for cue in moved if cue.start < end]


def to_srt(cues: Sequence[Cue]) -> str:
    """Format ``cues`` as SubRip: numbered blocks, times with a comma."""
    return "".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{_one_block(cue.text)}\n\n"
        for number, cue in enumerate(cues, start=1)
    )


def to_vtt(cues: Sequence[Cue]) -> str:
    """Format ``cues`` as WebVTT; ``&``, ``<`` and ``>`` are escaped so that no text is a tag."""
    return "WEBVTT\n\n" + "".join(
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{vtt_text(cue.text)}\n\n"
        for cue in cues
    )


def vtt_text(text: str) -> str:
    """Format ``text`` as the payload of a WebVTT cue, in a file or in a WebM track."""
    return html.escape(_one_block(text), quote=False)


@dataclass(frozen=True)
class _Piece:
    text: str
    start: float
    end: float


def _pieces(words: Sequence[TimedWord]) -> list[TimedWord]:
    """Split words that are wider than a line and divide their time by length."""
    pieces: list[TimedWord] = []
    for word in words:
        parts = _cut(word.text)
        if len(parts) == 1:
            pieces.append(word)
            continue
        total, before = sum(map(len, parts)), 0
        for part in parts:
            begin, before = before, before + len(part)
            length = word.end - word.start
            pieces.append(
                _Piece(
                    part,
                    word.start + length * begin / total,
                    word.start + length * before / total,
                )
            )
    return pieces


def _fits(group: list[TimedWord], word: TimedWord) -> bool:
    last = group[-1]
    return (
        not last.text.rstrip("\"'”’»)").endswith(_SENTENCE_END)
        and word.start - last.end < PAUSE_SECONDS
        and word.end - group[0].start <= MAX_SECONDS
        and len(_fill_lines([*(w.text for w in group), word.text], LINE_CHARACTERS)) <= LINES
    )


def _joined(group: list[TimedWord]) -> str:
    line = ""
    for word in group:
        line += _gap(line, word.text) + word.text
    return line


def _words(text: str) -> list[str]:
    """Return the units a line may break between: words, or letters of scripts without spaces."""
    text = " ".join(text.split())
    return [text[span.start : span.end] for span in spans_of(text)] or text.split()


def _gap(before: str, after: str) -> str:
    """Return the separator of two words on one line: a space or nothing."""
    joined = not before or (_BREAKABLE.match(before[-1]) and _BREAKABLE.match(after[:1]))
    return "" if joined else " "


def _cut(word: str) -> list[str]:
    pieces, line = [], ""
    for character in word:
        if line and display_width(line + character) > LINE_CHARACTERS:
            pieces.append(line)
            line = ""
        line += character
    return [*pieces, line]


def _fill_lines(words: Sequence[str], width: int) -> list[str]:
    """Fill lines greedily; a word wider than ``width`` gets its own line."""
    lines: list[str] = []
    for word in words:
        longer = lines[-1] + _gap(lines[-1], word) + word if lines else ""
        if lines and display_width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _time(seconds: float, mark: str) -> str:
    total, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(total, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{mark}{milliseconds:03}"


def _one_block(text: str) -> str:
    """Remove empty lines, which end a cue, and the arrow, which begins one."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line).replace("-->", "→")
