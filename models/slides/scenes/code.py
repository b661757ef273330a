"""Draw code in a typewriter's type, its words colored by what they are."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import NamedTuple

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType
from pygments.util import ClassNotFound

from models.schemas.lesson import CodeScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer
from models.slides.layout import Box
from models.slides.theme import Color, Theme
from models.slides.timeline import SceneTimeline
from models.typesetting.plain_text import has_rtl_letters
from models.typesetting.typeset import Paragraph

_SIZES = (4.4, 3.9, 3.4, 3.0, 2.6)  # em
_ADVANCE = 0.602  # width of a letter of DejaVu Sans Mono, in its size
_LINE = 1.36  # from one line to the next, in the size
_PAD = 2.4  # em, from the edge of the card
_TAB = 4


class _Word(NamedTuple):
    """Letters without a space between; ``column`` counts from the line's beginning."""

    text: str
    column: int
    kind: _TokenType


def draw_code(scene: CodeScene, canvas: Canvas) -> SceneTimeline:
    """Lay out code on a card at the largest type that fits.

    Lines that are too wide even at the smallest type go on below; what is too long goes on on
    further pages. A page is a beat.
    """
    composer = Composer(canvas)
    body = composer.add_caption(scene.caption, composer.add_heading(scene.heading), beat=0)
    em = composer.em
    room = Box(body.x, body.y, body.width, body.height).expanded(-_PAD * em)
    lines = _lines(scene.code, scene.language)
    size, lines, rows = _fit(lines, room, em)
    pages = math.ceil(len(lines) / rows)
    height = min(rows, len(lines)) * _LINE * size
    top = room.y + (room.height - height) * 0.3
    card = Box(body.x, top - _PAD * em, body.width, height + 2 * _PAD * em)
    theme = composer.theme
    composer.add_panel(card, "card", color=theme.panel, page=None)
    composer.add_panel(card, "edge", color=theme.line, line=max(1.0, 0.3 * em), page=None)
    words = [(number, word) for number, line in enumerate(lines) for word in _joined(line)]
    masks = composer.typeset([Paragraph(word.text, size, mono=True) for _, word in words])
    for index, ((number, word), mask) in enumerate(zip(words, masks, strict=True), start=1):
        page, row = divmod(number, rows)
        x = room.x + word.column * _ADVANCE * size
        y = top + row * _LINE * size
        composer.add_text(
            mask, x, y, f"word {index}", beat=page, page=page, color=_color(word.kind, theme),
            slide=(0, 0),
        )  # fmt: skip
    return composer.build_timeline(pages, range(pages))


def _fit(lines: list[list[_Word]], room: Box, em: float) -> tuple[float, list[list[_Word]], int]:
    """Return the size in pixels, the lines as they are set, and how many a page takes."""
    widest = max((line[-1].column + _width(line[-1].text) for line in lines if line), default=1)
    for number in _SIZES:
        size = number * em
        columns, rows = int(room.width / (_ADVANCE * size)), int(room.height / (_LINE * size))
        if widest <= columns and len(lines) <= rows:
            return size, lines, rows
    wrapped = [part for line in lines for part in _wrapped(line, columns)]
    return size, wrapped, max(rows, 1)


def _wrapped(line: list[_Word], columns: int) -> Iterator[list[_Word]]:
    """The line in parts of at most ``columns``; words are cut only where they are wider."""
    part: list[_Word] = []
    shift = 0
    for word in line:
        for text, column in _cut(word, columns):
            if column - shift + _width(text) > columns:
                yield part
                part, shift = [], column
            part.append(_Word(text, column - shift, word.kind))
    yield part


def _joined(line: list[_Word]) -> Iterator[_Word]:
    """The line with what runs from right to left as one word, so that its words keep their order.

    Quotes and other signs around it stay where the code, which runs to the right, has them.
    """
    for _, same in groupby(line, key=lambda word: word.kind):
        words = list(same)
        right = [number for number, word in enumerate(words) if has_rtl_letters(word.text)]
        first, last = (right[0], right[-1]) if right else (0, 0)
        text = words[first].text
        for before, word in pairwise(words[first : last + 1]):
            gap = word.column - before.column - _width(before.text)
            text += "\u00a0" * gap + word.text
        yield from words[:first]
        yield _Word(text, words[first].column, words[first].kind)
        yield from words[last + 1 :]


def _cut(word: _Word, columns: int) -> Iterator[tuple[str, int]]:
    start, column, width = 0, word.column, 0
    for index, letter in enumerate(word.text):
        if width + _width(letter) > columns:
            yield word.text[start:index], column
            start, column, width = index, column + width, 0
        width += _width(letter)
    yield word.text[start:], column


def _lines(code: str, language: str) -> list[list[_Word]]:
    lines: list[list[_Word]] = [[]]
    column = 0
    for kind, text in _tokens(code, language):
        for piece in re.findall(r"\n|\t|[^\S\n\t]|\S+", text):
            if piece == "\n":
                lines.append([])
                column = 0
            elif piece == "\t":
                column += _TAB - column % _TAB
            elif piece.isspace():
                column += 1
            else:
                lines[-1].append(_Word(piece, column, kind))
                column += _width(piece)
    return lines


def _tokens(code: str, language: str) -> list[tuple[_TokenType, str]]:
    code = re.sub(r"\r\n?", "\n", code).strip("\n")
    if language:
        try:
            lexer: Lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
        except ClassNotFound:
            return [(Token.Text, code)]
        tokens = list(lexer.get_tokens(code))
        if "".join(text for _, text in tokens) == code:
            return tokens
    return [(Token.Text, code)]


def _color(kind: _TokenType, theme: Theme) -> Color:
    accents = theme.accents
    if kind in Token.Comment:
        return theme.muted
    if kind in Token.Keyword or kind in Token.Operator.Word:
        return accents[0]
    if kind in Token.Literal.String:
        return accents[2]
    if kind in Token.Literal:
        return accents[1]
    if any(kind in part for part in (Token.Name.Function, Token.Name.Class, Token.Name.Builtin)):
        return accents[3]
    return theme.text


def _width(text: str) -> int:
    """Columns of ``text``: wide letters take two, marks none."""
    return sum(
        0
        if unicodedata.combining(letter)
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )
