"""What of a topic's text is not in the script that was drawn from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from models.schemas.lesson import LeftOut, Lesson
from models.text.document import (
    Block,
    CodeBlock,
    Footnote,
    FrontMatter,
    Heading,
    HtmlBlock,
    ItemList,
    LinkDefinition,
    MathBlock,
    Paragraph,
    Quote,
    Table,
    plain_text,
    without_comments,
)
from models.text.markdown import read
from models.text.sentences import sentences

_NO_ROOM = "no room in the script"


def left_out_of_topic(topic: str, lesson: Lesson) -> tuple[LeftOut, ...]:
    """The sentences of ``topic`` that no scene of ``lesson`` has whole, in their order.

    For scripts whose words are those of the topic; what ``lesson`` names itself is not repeated.
    """
    texts = [lesson.title, *(part.text for part in lesson.left_out)]
    texts += [text for scene in lesson.scenes for text in _strings(scene.model_dump())]
    there = "\n".join(map(_normalized, texts))
    return tuple(
        LeftOut(lines=(first, last), text=text, reason=reason)
        for first, last, text, reason in _pieces(read(topic, indented_code=False).blocks)
        if _normalized(text) not in there
    )


_Piece = tuple[int, int, str, str]


def _pieces(blocks: Iterable[Block]) -> Iterator[_Piece]:
    for block in blocks:
        first, last = block.first, block.last
        match block:
            case Heading(content=content) | Paragraph(content=content):
                for sentence in sentences(plain_text(content)):
                    yield first, last, sentence.text, _NO_ROOM
            case Table(header=header, rows=rows):
                for row in (header, *rows):
                    for cell in map(plain_text, row.cells):
                        yield row.first, row.last, cell, _NO_ROOM
            case ItemList(items=items):
                for item in items:
                    yield from _pieces(item.blocks)
            case Quote(blocks=inner) | Footnote(blocks=inner):
                yield from _pieces(inner)
            case CodeBlock(text=text):
                yield first, last, text.strip(), "code"
            case MathBlock(tex=text):
                yield first, last, text, _NO_ROOM
            case HtmlBlock(text=text):
                kept = without_comments(text)
                yield first, last, kept.strip(), _NO_ROOM
                if kept != text:
                    yield first, last, text.strip(), "comment"
            case FrontMatter(text=text):
                yield first, last, text, "front matter"
            case LinkDefinition(url=url):
                yield first, last, url, "address of a link"
            case _:
                pass


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def _normalized(text: str) -> str:
    """Letters and figures alone: the script adds stops and may break lines."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())
