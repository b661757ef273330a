"""The items of a list in the order they are read, with their depth and their marks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.schemas.scene_base import MAX_LINE
from models.text.document import (
    Block,
    Content,
    Heading,
    ItemList,
    Link,
    Paragraph,
    Picture,
    Styled,
)
from models.text.phrases import split_text

DOT, BOX, CHECKED = "•", "[ ]", "[x]"
_DEEPEST = 7  # that is drawn; what is deeper stands there, too


@dataclass(frozen=True)
class Point:
    """A paragraph of an item, behind ``mark``; the mark is empty where the item goes on."""

    line: int
    last: int
    content: Content
    level: int
    mark: str


@dataclass(frozen=True)
class Line:
    """A piece of a point's text that fits."""

    line: int
    last: int
    text: str
    level: int
    mark: str


def points(block: ItemList, level: int = 0) -> Iterator[Point | Block]:
    """Yield the paragraphs of the items, also of lists within, and the other blocks among them.

    Numbers go on from the list's first one, whatever the writer put before the others.
    """
    first = block.items[0].number
    for index, item in enumerate(block.items):
        mark = DOT
        if block.ordered and first is not None:
            mark = str(first + index)
        if item.checked is not None:
            box = CHECKED if item.checked else BOX
            mark = f"{mark} {box}" if block.ordered else box
        for inner in item.blocks:
            if isinstance(inner, Paragraph | Heading) and not has_picture(inner.content):
                yield Point(inner.first, inner.last, inner.content, min(level, _DEEPEST), mark)
                mark = ""
            elif isinstance(inner, ItemList):
                yield from points(inner, level + 1)
            else:
                yield inner


def lines_of(point: Point, text: str) -> list[Line]:
    """Return ``text``, which is that of ``point``, in pieces that fit; the later ones go on."""
    return [
        Line(point.line, point.last, piece, point.level, point.mark if number == 0 else "")
        for number, piece in enumerate(split_text(text, MAX_LINE))
    ]


def has_picture(content: Content) -> bool:
    """Return whether a picture stands anywhere in ``content``."""
    return any(
        isinstance(part, Picture) or (isinstance(part, Styled | Link) and has_picture(part.content))
        for part in content
    )
