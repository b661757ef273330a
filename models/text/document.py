"""Define the document model of Markdown: blocks in order, and their inline content.

Everything is frozen plain data. Blocks store their source lines, counted from 1; nested blocks (of
list items, quotes, footnotes) are in ``blocks``. Inline content is a tuple in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

# --- text within a block -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """Letters as they are read: escapes and entities are resolved."""

    text: str


@dataclass(frozen=True, slots=True)
class Styled:
    """Emphasized or struck-out content."""

    style: Literal["emphasis", "strong", "strikethrough"]
    content: Content


@dataclass(frozen=True, slots=True)
class Code:
    """A code span."""

    text: str


@dataclass(frozen=True, slots=True)
class Math:
    """A formula in a sentence, LaTeX without its dollar signs; ``display``: written ``$$``."""

    tex: str
    display: bool


@dataclass(frozen=True, slots=True)
class Link:
    """Content that leads to ``url``, which nothing here follows."""

    url: str
    title: str
    content: Content


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in the text; ``content`` describes it (the alternative text)."""

    url: str
    title: str
    content: Content


@dataclass(frozen=True, slots=True)
class LineBreak:
    """The end of a source line; ``hard`` where the writer asked for a new line."""

    hard: bool


@dataclass(frozen=True, slots=True)
class FootnoteMark:
    """Where the text refers to the footnote ``label``."""

    label: str


@dataclass(frozen=True, slots=True)
class Html:
    """A tag or a comment within a sentence, as it is written."""

    text: str


Inline: TypeAlias = Text | Styled | Code | Math | Link | Picture | LineBreak | FootnoteMark | Html
Content: TypeAlias = tuple[Inline, ...]

# --- blocks ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    first: int  # line
    last: int  # line, inclusive


@dataclass(frozen=True, slots=True)
class Heading(_Block):
    """``level`` 1 to 6; ``underlined`` with ``===`` or ``---`` rather than marked with ``#``."""

    level: int
    content: Content
    underlined: bool = False


@dataclass(frozen=True, slots=True)
class Paragraph(_Block):
    """Sentences; their source lines are parted by :class:`LineBreak`."""

    content: Content


@dataclass(frozen=True, slots=True)
class ListItem(_Block):
    """``mark`` is what the writer put in front (``-``, ``7.``), ``number`` its figure if it has
    one; ``checked`` is ``None`` unless the item has a check box."""

    mark: str
    number: int | None
    checked: bool | None
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ItemList(_Block):
    """A list, its items possibly parted by blank lines."""

    ordered: bool
    items: tuple[ListItem, ...]


@dataclass(frozen=True, slots=True)
class TableRow(_Block):
    cells: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Table(_Block):
    """Every row has as many cells as the header."""

    header: TableRow
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True)
class Quote(_Block):
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class CodeBlock(_Block):
    """Code, as it is written. ``info`` is what stands behind the opening marks, ``marks`` are
    those (empty: the code is indented), ``closed`` is false where the closing ones are missing."""

    info: str
    text: str
    marks: str = ""
    closed: bool = True

    @property
    def name(self) -> str:
        """The first word of ``info`` in small letters: the language, or the kind of block."""
        return (self.info.split() or [""])[0].lower()


@dataclass(frozen=True, slots=True)
class MathBlock(_Block):
    """A formula of its own: between ``$$``, or in a fence called ``math``."""

    tex: str


@dataclass(frozen=True, slots=True)
class Rule(_Block):
    """A line across the page."""


@dataclass(frozen=True, slots=True)
class HtmlBlock(_Block):
    """Lines of HTML, comments among them, as they are written."""

    text: str


@dataclass(frozen=True, slots=True)
class Footnote(_Block):
    label: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class LinkDefinition(_Block):
    """``[label]: url "title"``, which links elsewhere in the document may refer to."""

    label: str
    url: str
    title: str


@dataclass(frozen=True, slots=True)
class FrontMatter(_Block):
    """Settings for other programs above the document: the YAML between the ``---`` lines."""

    text: str


Block: TypeAlias = (
    Heading
    | Paragraph
    | ItemList
    | Table
    | Quote
    | CodeBlock
    | MathBlock
    | Rule
    | HtmlBlock
    | Footnote
    | LinkDefinition
    | FrontMatter
)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole text."""

    blocks: tuple[Block, ...]


# --- reading it --------------------------------------------------------------------------------


def plain_text(content: Content) -> str:
    """Return the visible text of ``content`` on one line.

    Markers are removed; links and images give their text, formulas their LaTeX, tags stay as
    written; comments and footnote marks are dropped.
    """
    return " ".join("".join(_pieces(content)).split())


def _pieces(content: Content) -> Iterator[str]:
    for part in content:
        if isinstance(part, Text | Code):
            yield part.text
        elif isinstance(part, Styled | Link | Picture):
            yield from _pieces(part.content)
        elif isinstance(part, Math):
            yield part.tex
        elif isinstance(part, LineBreak):
            yield " "
        elif isinstance(part, Html):
            yield without_comments(part.text)


def without_comments(html: str) -> str:
    """Remove ``<!-- ... -->`` from ``html``; an unclosed comment extends to the end."""
    parts, at = [], 0
    while (start := html.find("<!--", at)) >= 0:
        parts.append(html[at:start])
        end = html.find("-->", start + 4)
        at = len(html) if end < 0 else end + 3
    return "".join([*parts, html[at:]])


def is_ornament(text: str) -> bool:
    """Return whether ``text`` is empty or a scene separator of manuscripts, such as ``#`` and
    ``⁂``.
    """
    return not set(text) - set("#*⁂~-_=+ ")


def source_lines(content: Content) -> list[Content]:
    """Split ``content`` at the ends of its source lines."""
    lines: list[list[Inline]] = [[]]
    for part in content:
        if isinstance(part, LineBreak):
            lines.append([])
        else:
            lines[-1].append(part)
    return [tuple(line) for line in lines]


def strong_terms(content: Content) -> Iterator[str]:
    """Yield the plain text of each strongly emphasized part."""
    for part in content:
        if isinstance(part, Styled) and part.style == "strong":
            yield plain_text(part.content)
        elif isinstance(part, Styled | Link):
            yield from strong_terms(part.content)
