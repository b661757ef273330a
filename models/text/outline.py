"""Extract lesson outlines from a source without a language model.

Extraction only: every title, line and question is a piece of the source, so nothing is invented.
The rules read structure (headings, lists, emphasis), which most languages share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

from models.formulas.plain_text import formula_text
from models.schemas.writing import (
    LessonOutline,
    LessonSection,
    QuizQuestion,
)
from models.text.document import (
    Block,
    CodeBlock,
    Content,
    Footnote,
    Heading,
    Html,
    HtmlBlock,
    Inline,
    ItemList,
    LineBreak,
    Link,
    Math,
    MathBlock,
    Paragraph,
    Picture,
    Quote,
    Rule,
    Styled,
    Table,
    Text,
    is_ornament,
    plain_text,
    source_lines,
    strong_terms,
    without_comments,
)
from models.text.markdown import read
from models.text.sentences import sentences
from models.text.shorten import shorten

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_DEFINED = re.compile(r"^([^.:!?]{2,40}?)\s*(?::|\s[–—-])\s+(\S.{8,})$")
_FIGURE = re.compile(r"(?<![\w.,])\d[\d.,]*\d(?![\w])")
_BEFORE_STOP = re.compile(r"\s+(?=[.,;:!?])")
_TAG = re.compile(r"<[/!?]?[A-Za-z][^<>]*>|<[!?][^<>]*>")
_QUESTIONS, _SECTIONS = 8, 24


class _Piece(NamedTuple):
    """A paragraph or a list line; ``strong`` are the terms that it emphasizes."""

    kind: Literal["prose", "bullet", "step"]
    text: str
    strong: tuple[str, ...] = ()


class _Section(NamedTuple):
    """The content under one heading, in order."""

    title: str
    pieces: list[_Piece]

    def texts(self, kind: str) -> list[str]:
        return [piece.text for piece in self.pieces if piece.kind == kind]


def outline_text(content: Content) -> str:
    """Return the text of ``content``: formulas as readable text, tags left out."""
    return plain_text(tuple(_readable(content)))


def _readable(content: Content) -> Iterator[Inline]:
    for part in content:
        match part:
            case Math(tex=tex):
                yield Text(formula_text(tex))
            case Html(text=tag):
                yield Text(" " if tag.startswith("<br") else "")
            case Styled(content=inner) | Link(content=inner) | Picture(content=inner):
                yield replace(part, content=tuple(_readable(inner)))
            case _:
                yield part


def extract_lesson_outline(source: str) -> LessonOutline:
    """Extract a lesson outline.

    Markdown keeps its headings and lists; plain text gets one section per paragraph; a topic alone
    becomes a title without sections. At most 24 sections: the rest joins the last one.
    """
    title, parts = _sections(source)
    if not any(part.title for part in parts):
        parts = [part for whole in parts for part in _paragraphs(whole)]
    first = next((part.title for part in parts if part.title), " ".join(source.split()))
    title = title or first
    merged = [*parts[:_SECTIONS]] or [_Section(title, [])]
    for extra in parts[_SECTIONS:]:
        merged[-1].pieces.extend(extra.pieces)
    sections = [
        LessonSection(
            title=shorten(part.title or title, 120),
            narration=shorten(" ".join(part.texts("prose")), 2000),
            bullets=tuple(_lines(part.texts("bullet") or _key_sentences(part, title), 8)),
            steps=tuple(_lines(part.texts("step"), 12)),
        )
        for part in merged
    ]
    return LessonOutline(
        title=shorten(title, 120), sections=tuple(sections), quiz=tuple(_quiz(merged))
    )


def _sections(source: str) -> tuple[str | None, list[_Section]]:
    """Return the document's title (its only top heading, if any) and its sections in order."""
    reader = _Reader()
    reader.take(read(source, indented_code=False).blocks)
    parts, levels = reader.parts, reader.levels
    top = min((level for level in levels if 0 < level < 99), default=0)
    if top and levels.count(top) == 1 and len(levels) > 2 and levels[1] == top:
        title = parts[1].title
        parts[1] = parts[1]._replace(title="")
        return title, [part for part in parts if any(part)]
    parts = [part for part in parts if any(part)]
    return _title_line(parts), parts


class _Reader:
    """Group the blocks of a document into sections: a heading or a break begins one."""

    def __init__(self) -> None:
        self.parts = [_Section("", [])]
        self.levels = [0]  # of the parts' headings; 99 after a break

    def take(self, blocks: Iterable[Block], quoted: bool = False) -> None:
        """Add ``blocks``; in quotes, footnotes and lists (``quoted``) headings are prose."""
        for block in blocks:
            match block:
                case Heading(content=content):
                    self._take_heading(block, outline_text(content), quoted)
                case Paragraph(content=content):
                    self._take_paragraph(content)
                case ItemList(items=items):
                    if not any(item.blocks for item in items):  # a "*" alone
                        self._break()
                    for item in items:
                        self._take_item(item.blocks, "step" if block.ordered else "bullet")
                case Table(header=header, rows=rows):
                    # With a comma: "Part – Purpose" would be taken for the definition of a part.
                    self._add("bullet", ", ".join(filter(None, map(outline_text, header.cells))))
                    for row in rows:
                        self._add("bullet", " – ".join(filter(None, map(outline_text, row.cells))))
                case Quote(blocks=inner) | Footnote(blocks=inner):
                    self.take(inner, quoted=True)
                case CodeBlock(closed=True):
                    pass  # code is shown, not read out
                case CodeBlock(info=info, text=text):  # opened, never closed: it is no code
                    for paragraph in (info, *_BLANK_LINE.split(text)):
                        self._add("prose", paragraph)
                case MathBlock(tex=tex):
                    self._add("prose", formula_text(tex))
                case HtmlBlock(text=text):
                    text = _TAG.sub(" ", without_comments(text))
                    self._add("prose", _BEFORE_STOP.sub("", text))
                case Rule():
                    self._break()

    def _take_heading(self, block: Heading, text: str, quoted: bool) -> None:
        if quoted:
            self._add("prose", text)
        elif is_ornament(text):  # "###" alone
            self._break()
        elif block.underlined and len(source_lines(block.content)) > 1:
            self._take_paragraph(block.content)  # in a story the line below it is a break
            self._break()
        else:
            self._begin(text, block.level)

    def _take_paragraph(self, content: Content) -> None:
        lines: list[str] = []
        for line in source_lines(content):
            text = outline_text(line)
            if text and is_ornament(text):  # "⁂", or an escaped "* * *"
                self._add("prose", " ".join(lines))
                self._break()
                lines = []
            else:
                lines.append(text)
        self._add("prose", " ".join(lines), content)

    def _take_item(self, blocks: tuple[Block, ...], kind: Literal["bullet", "step"]) -> None:
        said: list[Inline] = []
        for block in blocks:
            if isinstance(block, Paragraph):
                said += [*block.content, LineBreak(hard=True)]
            else:
                self._add(kind, outline_text(tuple(said)), tuple(said))
                said = []
                self.take([block], quoted=True)
        self._add(kind, outline_text(tuple(said)), tuple(said))

    def _add(
        self, kind: Literal["prose", "bullet", "step"], text: str, content: Content = ()
    ) -> None:
        terms = tuple(term for term in strong_terms(content) if 2 <= len(term) <= 60)
        if text := " ".join(text.split()):
            self.parts[-1].pieces.append(_Piece(kind, text, terms))

    def _break(self) -> None:
        if any(self.parts[-1]):
            self._begin("", 99)

    def _begin(self, title: str, level: int) -> None:
        self.parts.append(_Section(title, []))
        self.levels.append(level)


def _title_line(parts: list[_Section]) -> str | None:
    """Remove and return a first line that stands alone and ends without a full stop."""
    if not parts or parts[0].title or parts[0].pieces[0].kind != "prose":
        return None
    line = parts[0].pieces[0].text
    followed = len(parts) > 1 or len(parts[0].pieces) > 1
    if not followed or len(line) > 80 or not line[-1].isalnum():
        return None
    del parts[0].pieces[0]
    if not any(parts[0]):
        del parts[0]
    return line


def _paragraphs(part: _Section) -> list[_Section]:
    """Split into one section per paragraph, titled by its first sentence, with its lists."""
    sections: list[_Section] = []
    for piece in part.pieces:
        if piece.kind == "prose" or not sections:
            said = sentences(piece.text) if piece.kind == "prose" else []
            sections.append(_Section(said[0].text if said else "", []))
        sections[-1].pieces.append(piece)
    return sections or [part]


def _key_sentences(part: _Section, title: str) -> list[str]:
    """Return the key sentences of a section without a list, without repeating its title.

    These are the first sentence of each paragraph, or each sentence of a single paragraph.
    """
    said = [sentences(text) for text in part.texts("prose")]
    if len(said) == 1:
        points = [sentence.text for sentence in said[0][:4]]
    else:
        points = [paragraph[0].text for paragraph in said if paragraph]
    return [point for point in points if point not in (part.title, title)]


def _quiz(parts: list[_Section]) -> list[QuizQuestion]:
    """Build cloze questions from sentences of the source.

    The gap replaces an emphasized term, a term that a list defines, or a figure of two or more
    digits.
    """
    questions: dict[str, QuizQuestion] = {}

    def ask(sentence: str, answer: str) -> None:
        gap = sentence.replace(answer, "____")
        if 12 <= len(gap) <= 240 and "____" in gap and len(answer) <= 120:
            questions.setdefault(answer.casefold(), QuizQuestion(question=gap, answer=answer))

    for part in parts:
        for piece in part.pieces:
            if piece.kind != "prose" and (defined := _DEFINED.match(piece.text)):
                ask(piece.text, defined.group(1).strip())
        for piece in part.pieces:
            if piece.kind == "step":
                continue
            for sentence in sentences(piece.text):
                for term in piece.strong:
                    ask(sentence.text, term)
                for figure in list(_FIGURE.finditer(sentence.text))[:1]:
                    ask(sentence.text, figure.group())
    return list(questions.values())[:_QUESTIONS]


def _lines(lines: list[str], count: int) -> list[str]:
    return [shorten(text, 240) for text in lines][:count]
