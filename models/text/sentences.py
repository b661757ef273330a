"""Split text into speakable sentences and subtitle words."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

MAX_SENTENCE_CHARACTERS = (
    400  # characters; a voice keeps its breath and a cancel is heard within seconds
)

_PARAGRAPH = re.compile(r"\n[ \t]*\n+")
# A stop ends a sentence where white space and no small letter follow; the stops of scripts that
# write no spaces end one by themselves.
_STOP = re.compile(r"[.!?…؟۔।॥]+[\"'”’»)\]]*(?=\s+[^\sa-zß-öø-ÿа-я])|[。！？｡]+[”’」』）]*")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]|Dr|Mr|Mrs|Ms|Prof|St|vs|No|Nr|bzw|ca|Sr|Sra)\.$", re.IGNORECASE
)
# Thai, Lao, Burmese, Khmer, kana, Han, as ranges of a character class: they put no spaces between
# words, so each letter counts as one.
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


class Sentence(NamedTuple):
    """A unit of speech; ``ends_paragraph`` marks the last one of its paragraph."""

    text: str
    ends_paragraph: bool


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a sentence, displayed as one word."""

    start: int
    end: int


def sentences(text: str) -> list[Sentence]:
    """Split ``text`` into sentences of at most :data:`MAX_SENTENCE_CHARACTERS`.

    Control characters become spaces and white space is collapsed. Pieces without a letter or digit
    are dropped. Blank lines separate paragraphs.
    """
    result: list[Sentence] = []
    for paragraph in _PARAGRAPH.split(text.replace("\r\n", "\n")):
        clean = "".join(" " if unicodedata.category(c) == "Cc" else c for c in paragraph)
        pieces = [part for whole in _split(" ".join(clean.split())) for part in _shorten(whole)]
        spoken = [piece for piece in pieces if any(c.isalnum() for c in piece)]
        result += [Sentence(piece, piece_no == len(spoken)) for piece_no, piece in _count(spoken)]
    return result


def words(sentence: str) -> list[Span]:
    """Return the words of a sentence in order; punctuation belongs to the word before it."""
    spans: list[Span] = []
    for token in _TOKEN.finditer(sentence):
        said = any(c.isalnum() for c in token.group())
        # A vowel sign may stand apart from its letter where scripts write no spaces.
        if spans and not said:
            spans[-1] = Span(spans[-1].start, token.end())
        elif said:
            spans.append(Span(token.start(), token.end()))
    if spans:  # an opening quote before the first word
        spans[0] = Span(0, spans[0].end)
    return spans


def _split(paragraph: str) -> list[str]:
    pieces, start = [], 0
    for stop in _STOP.finditer(paragraph):
        if stop.group() == "." and _ABBREVIATION.search(paragraph[start : stop.end()]):
            continue
        pieces.append(paragraph[start : stop.end()].strip())
        start = stop.end()
    pieces.append(paragraph[start:].strip())
    return [piece for piece in pieces if piece]


def _shorten(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > MAX_SENTENCE_CHARACTERS:
        window = sentence[:MAX_SENTENCE_CHARACTERS]
        cut = max(window.rfind(mark) for mark in ",;:，、；،") + 1
        if cut < MAX_SENTENCE_CHARACTERS // 4:
            cut = window.rfind(" ") + 1 or MAX_SENTENCE_CHARACTERS
        pieces.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [*pieces, sentence] if sentence else pieces


def _count(pieces: list[str]) -> list[tuple[int, str]]:
    return list(enumerate(pieces, start=1))
