"""Build subtitle cues from word times and write them as SubRip or WebVTT.

A cue has at most two lines of 42 characters (Netflix Timed Text Style Guide, general requirements:
42 characters, two lines, 5/6 s to 7 s, a gap of 2 frames). SubRip has no specification; WebVTT is
https://www.w3.org/TR/webvtt1/.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Protocol

from models.text.line_breaks import break_penalty
from models.text.sentences import UNSPACED, split_paragraph
from models.text.sentences import words as spans_of

LINE_CHARACTERS = 42
LINES = 2
MIN_SECONDS = 5 / 6
MAX_SECONDS = 7.0
GAP_SECONDS = 0.08
SHORTEST_SECONDS = 0.7  # a cue that stays less flashes by
COLUMNS_PER_SECOND = 20  # that people read
PAUSE_SECONDS = 0.7  # a silence of this length ends a cue
_BREAKABLE = re.compile(
    rf"[{UNSPACED}\u3000-\u303f\uff00-\uff65]"
)  # needs no space beside its like
_AROUND = "“”‘’…—·"
_UNEVEN = 0.4  # what a column that one line is longer than the other costs
_COST_OF_A_CUE, _COST_OF_A_FLASH = 40.0, 60.0  # beside the penalties of places to break at


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


def cues_from_words(
    words: Sequence[TimedWord], end: float | None = None, language: str = "en"
) -> list[Cue]:
    """Group ``words``, sorted by time, into readable cues.

    A cue ends with its sentence, at a pause, and where it would exceed two lines or seven seconds;
    then it ends with a phrase. Words of a narration know where sentences end; the text of others is
    split by ``language`` (BCP 47). A sentence of less than :data:`SHORTEST_SECONDS` shares the cue
    of its neighbor. A cue stays on screen for :data:`MIN_SECONDS` and long enough to be read if the
    next cue, or ``end`` (the film's length in seconds), leaves the time. Cues never overlap. A word
    wider than a line is split. Letters of scripts without spaces are joined without spaces.
    """
    groups = [
        chunk for sentence in _sentences(_pieces(words), language) for chunk in _chunks(sentence)
    ]
    groups = _without_flashes(groups, end)
    cues: list[Cue] = []
    for number, group in enumerate(groups):
        start = group[0].start
        limit = _limit(groups, number, end)
        text = break_lines(_joined(group))
        to_read = display_width(text) / COLUMNS_PER_SECOND
        cue_end = min(max(group[-1].end, start + max(MIN_SECONDS, to_read)), start + MAX_SECONDS)
        if limit is not None:
            cue_end = min(cue_end, max(limit - GAP_SECONDS, start + (limit - start) / 2))
        if cue_end > start:
            cues.append(Cue(start, cue_end, text))
    return cues


def break_lines(text: str) -> str:
    """Break ``text`` into as few lines as possible, of at most 42 columns, between phrases.

    East Asian wide characters count as two columns, so such lines hold 21.
    """
    units = [piece for word in _words(text) for piece in _cut(word)]
    if len(_fill_lines(units, LINE_CHARACTERS)) == LINES:
        return "\n".join(_two_lines(units))
    count = len(_fill_lines(units, LINE_CHARACTERS))
    # The narrowest width that needs no more lines: a last line of one word looks like a mistake.
    for width in range(LINE_CHARACTERS // 2, LINE_CHARACTERS + 1):
        lines = _fill_lines(units, width)
        if len(lines) <= count and all(display_width(line) <= LINE_CHARACTERS for line in lines):
            return "\n".join(lines)
    return "\n".join(_fill_lines(units, LINE_CHARACTERS))


def _two_lines(units: Sequence[str]) -> tuple[str, str]:
    """Part ``units`` at the phrase that leaves the most similar lines."""
    best, least = ("", ""), float("inf")
    for at in range(1, len(units)):
        lines = _line(units[:at]), _line(units[at:])
        widths = [display_width(line) for line in lines]
        if max(widths) <= LINE_CHARACTERS:
            cost = break_penalty(units[at - 1], units[at])
            cost += _UNEVEN * abs(widths[0] - widths[1])
            if cost < least:
                best, least = lines, cost
    return best


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
    ends_sentence: bool


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
                    before == total and getattr(word, "ends_sentence", False),
                )
            )
    return pieces


def _sentences(words: Sequence[TimedWord], language: str) -> list[list[TimedWord]]:
    """Part ``words`` where sentences end and where the voice pauses."""
    ends = {n for n, word in enumerate(words) if getattr(word, "ends_sentence", False)}
    if not ends:
        ends = _ends_of_sentences([word.text for word in words], language)
    groups: list[list[TimedWord]] = []
    for number, word in enumerate(words):
        pause = number > 0 and word.start - words[number - 1].end >= PAUSE_SECONDS
        if not groups or pause or number - 1 in ends:
            groups.append([])
        groups[-1].append(word)
    return groups


def _ends_of_sentences(texts: Sequence[str], language: str) -> set[int]:
    line, until = "", []
    for text in texts:
        line += _gap(line, text) + text
        until.append(len(line))
    stops = set(accumulate(len(sentence) for sentence in split_paragraph(line, language)))
    return {n for n, at in enumerate(until) if at in stops or at + 1 in stops}


def _chunks(words: Sequence[TimedWord]) -> list[list[TimedWord]]:
    """Part one sentence into as few cues as can be read, at the best places.

    The costs of the best parting of every beginning are computed from left to right.
    """
    count = len(words)
    costs = [0.0] + [float("inf")] * count
    starts = [0] * (count + 1)
    penalties = [break_penalty(one.text, other.text) for one, other in pairwise(words)] + [0.0]
    for at in range(count):
        for to, width in _readable(words, at):
            follows = words[to].start if to < count else words[-1].end
            flash = _COST_OF_A_FLASH if follows - words[at].start < SHORTEST_SECONDS else 0.0
            crumb = max(0.0, LINE_CHARACTERS / 2 - width)
            cost = costs[at] + _COST_OF_A_CUE + penalties[to - 1] + flash + crumb
            if cost < costs[to]:
                costs[to], starts[to] = cost, at
    cuts = [count]
    while cuts[-1] > 0:
        cuts.append(starts[cuts[-1]])
    cuts.reverse()
    return [list(words[at:to]) for at, to in pairwise(cuts)]


def _readable(words: Sequence[TimedWord], at: int) -> Iterator[tuple[int, int]]:
    """Yield the ends of all cues that may begin with word ``at``, and their columns."""
    lines, column, width = 1, 0, 0
    for to in range(at, len(words)):
        own = display_width(words[to].text)
        gap = len(_gap(words[to - 1].text, words[to].text)) if to > at else 0
        width += gap + own
        column += gap + own
        if column > LINE_CHARACTERS and to > at:
            lines, column = lines + 1, own
        if to > at and (lines > LINES or words[to].end - words[at].start > MAX_SECONDS):
            return
        yield to + 1, width


def _without_flashes(groups: list[list[TimedWord]], end: float | None) -> list[list[TimedWord]]:
    """Join cues that would flash by to a neighbor, to the next one where both are possible."""
    at = 0
    while at < len(groups):
        group, limit = groups[at], _limit(groups, at, end)
        stays = MIN_SECONDS if limit is None else limit - GAP_SECONDS - group[0].start
        if stays < SHORTEST_SECONDS:
            if at + 1 < len(groups) and _join(group, groups[at + 1]):
                groups[at : at + 2] = [group + groups[at + 1]]
                continue
            if at > 0 and _join(groups[at - 1], group):
                groups[at - 1 : at + 1] = [groups[at - 1] + group]
                continue
        at += 1
    return groups


def _join(one: list[TimedWord], other: list[TimedWord]) -> bool:
    return other[0].start - one[-1].end < PAUSE_SECONDS and _fits(one + other)


def _limit(groups: Sequence[Sequence[TimedWord]], number: int, end: float | None) -> float | None:
    """Return when the next cue begins, or the film ends."""
    return groups[number + 1][0].start if number + 1 < len(groups) else end


def _fits(words: Sequence[TimedWord]) -> bool:
    return (
        words[-1].end - words[0].start <= MAX_SECONDS
        and len(_fill_lines([word.text for word in words], LINE_CHARACTERS)) <= LINES
    )


def _joined(group: Sequence[TimedWord]) -> str:
    return _line([word.text for word in group])


def _line(texts: Sequence[str]) -> str:
    line = ""
    for text in texts:
        line += _gap(line, text) + text
    return line


def _words(text: str) -> list[str]:
    """Return the units a line may break between: words, or letters of scripts without spaces."""
    text = " ".join(text.split())
    return [text[span.start : span.end] for span in spans_of(text)] or text.split()


def _gap(before: str, after: str) -> str:
    """Return the separator of two words on one line: a space or nothing."""
    # Quotation marks and dashes belong to the letters around them.
    ends, begins = before.rstrip(_AROUND)[-1:], after.lstrip(_AROUND)[:1]
    joined = not before or (_BREAKABLE.match(ends) and _BREAKABLE.match(begins))
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
