"""Split text into speakable sentences and subtitle words.

sentencex (Wikimedia) finds the sentences; the rules below mend what the table of
``tests/unit/models/sentences.txt`` shows it to miss (docs/decisions/0024).
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple

import sentencex

MAX_SENTENCE_CHARACTERS = (
    400  # characters; a voice keeps its breath and a cancel is heard within seconds
)

_PARAGRAPH = re.compile(r"\n[ \t]*\n+")
# Thai, Lao, Burmese, Khmer, kana, Han, as ranges of a character class: they put no spaces between
# words, so each letter counts as one.
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_OPENING = "([{「『（《【〈“‘«¿¡"
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")

# Titles before names, and words before figures, that sentencex does not know in every language.
_TITLE = re.compile(
    r"(?:^|[\s(“\"«‘'—–-])(?:"
    r"Dr|Mr|Mrs|Ms|Prof|St|Mt|Rev|Gen|Col|Capt|Lt|Sgt|Sr|Sra|Srta|Dra|D|Dña|Ud|Uds|Vd|Fr|Hr|Frl|Fa|prof"
    r"|M|MM|Mme|Mmes|Mlle|Mlles|Me|Mgr|Pr|ул|г|гр|д-р|проф|им|डॉ|श्री|प्रो|पं|सु"
    r")\.$"
)
_NUMBERED = re.compile(
    r"(?:^|[\s(])(?:fig|figs|no|nos|nr|nrs|núm|p|pp|pág|págs|vol|ch|chap|cap|sec|sect|eq|art|abb"
    r"|abs|bd|kap|tab|s|t|стр|рис|гл|с|п|№)\.$",
    re.IGNORECASE,
)
_INSIDE = re.compile(  # abbreviations that stand within a sentence, whatever follows
    r"(?:^|[\s(])(?:z\. ?B|d\. ?h|u\. ?a|bzw|bspw|ggf|vgl|ca|evtl|sog|e\.g|i\.e|cf|vs|approx"
    r"|p\. ?ej|c\.-à-d|т\. ?е|т\. ?к|напр)\.$",
    re.IGNORECASE,
)
_INITIALS = re.compile(r"(?:^|[\s(“\"«—–-])(?:[^\W\d_a-zß-öø-ÿа-яё]\.[ -]?)+$")
_ACRONYM_LIKE = re.compile(r"(?:[^\W\d_]\.){2,}$")
_QUOTE_END = re.compile(
    r"[.!?…][\"”’»)]+\s+(?=[\"“‘«¿¡—–]|[^\W\d_a-zß-öø-ÿа-яё])|[。！？]）(?=\w)|[。！？]」(?=「)"
)
_STOPS_WITHOUT_SPACE = re.compile(r"[。！？｡…।॥۔؟][\"'”’»)」』）]*$")
_CJK_END = re.compile(r"[。！？｡…][」』”’）]*$")
_REPORTED = re.compile(  # who says it, behind what is said: 「…。」と言った, “…！”他说
    r"(?:と|って|\S{0,6}?(?:说|說|道|问|問|喊|叫|答))"
)
_MONTH = re.compile(
    r"(?:Jan|Feb|Mär|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez|Jahrhundert|Jh|Klasse|Stock|Etage|Kapitel"
    r"|Platz|Tag|Mal|Geburtstag|Weltkrieg)"
)
_ORDINAL = re.compile(r"(?:^|\s)(?:\d{1,2}|[IVXLC]+)\.$")


class Sentence(NamedTuple):
    """A unit of speech; ``ends_paragraph`` marks the last one of its paragraph.

    ``ends_sentence`` is false where a sentence is spoken in pieces and this is not its last.
    """

    text: str
    ends_paragraph: bool
    ends_sentence: bool = True


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a sentence, displayed as one word."""

    start: int
    end: int


def sentences(text: str, language: str = "en") -> list[Sentence]:
    """Split ``text``, which is in ``language`` (BCP 47), into sentences of at most
    :data:`MAX_SENTENCE_CHARACTERS`.

    Control characters become spaces and white space is collapsed. Pieces without a letter or digit
    are dropped. Blank lines separate paragraphs.
    """
    result: list[Sentence] = []
    for paragraph in _PARAGRAPH.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        clean = "".join(" " if unicodedata.category(c) == "Cc" else c for c in paragraph)
        said: list[Sentence] = []
        for whole in split_paragraph(" ".join(clean.split()), language):
            if any(c.isalnum() for c in whole):
                pieces = _shorten(whole.strip())
                said += [Sentence(piece, False, False) for piece in pieces[:-1]]
                said.append(Sentence(pieces[-1], False))
        if said:
            said[-1] = said[-1]._replace(ends_paragraph=True)
        result += said
    return result


def split_paragraph(paragraph: str, language: str = "en") -> list[str]:
    """Split one paragraph into its sentences, each with the white space behind it.

    Joined they are ``paragraph`` again, letter for letter.
    """
    language = language.replace("_", "-").partition("-")[0].lower()
    pieces: list[str] = []
    for found in sentencex.segment(language, paragraph):
        pieces += _split_at_quotes(found)
    joined: list[str] = []
    for piece in pieces:
        if joined and _goes_on(joined[-1], piece, language):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def words(sentence: str) -> list[Span]:
    """Return the words of a sentence in order; punctuation belongs to the word before it, what
    opens a bracket or a quotation to the word behind it.
    """
    spans: list[Span] = []
    opened: int | None = None  # where brackets begin that no word follows yet
    for token in _TOKEN.finditer(sentence):
        said = any(c.isalnum() for c in token.group())
        # A vowel sign may stand apart from its letter where scripts write no spaces.
        if said:
            spans.append(Span(token.start() if opened is None else opened, token.end()))
            opened = None
        elif spans:
            closed = token.start() + len(token.group().rstrip(_OPENING))
            if closed > token.start():
                spans[-1] = Span(spans[-1].start, closed)
                opened = None
            if closed < token.end() and opened is None:
                opened = closed
    if spans and opened is not None:
        spans[-1] = Span(spans[-1].start, len(sentence))
    if spans:  # an opening quote before the first word
        spans[0] = Span(0, spans[0].end)
    return spans


def _split_at_quotes(piece: str) -> list[str]:
    """Part sentences behind a closing quote, which the segmenter takes for one."""
    cuts = [0, *(match.end() for match in _QUOTE_END.finditer(piece)), len(piece)]
    return [piece[start:end] for start, end in pairwise(cuts) if start < end]


def _goes_on(before: str, after: str, language: str) -> bool:
    """Return whether ``after`` belongs to the sentence ``before``."""
    end, follows = before.rstrip(), after.lstrip("\"'“”‘’«»()—–- ")
    if not follows or not any(c.isalnum() for c in before):
        return True
    if before == end and not _STOPS_WITHOUT_SPACE.search(end):
        return True  # within a word
    if _CJK_END.search(end):
        return bool(end[-1] in "」』”’" and _REPORTED.match(after))
    first = follows[0]
    if first.islower():  # "3.5 kg. of flour", "¿Traes la llave? - preguntó"
        return True
    if not end.endswith(".") or end.endswith(".."):
        return False
    if _TITLE.search(end) or _INSIDE.search(end):
        return True
    if _NUMBERED.search(end) and (first.isdigit() or re.match(r"[IVXLC]+\b", follows)):
        return True
    if language == "de" and _ORDINAL.search(end) and _MONTH.match(follows):
        return True
    return bool(_INITIALS.search(end) and not _ACRONYM_LIKE.search(end))


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
