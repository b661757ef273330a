"""What of a topic's text is not in the script that was drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from deployments.generators.study_animation.inline_text import (
    ADDRESS,
    LeaveOut,
    html_text,
    shown_text,
)
from models.formulas.plain_text import formula_text
from models.schemas.lesson import LeftOut, Lesson
from models.text.document import (
    Block,
    CodeBlock,
    Content,
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
)
from models.text.markdown import read
from models.text.outline import outline_text
from models.text.sentences import sentences

_NO_ROOM = "no room in the script"


def left_out_of_topic(topic: str, lesson: Lesson) -> tuple[LeftOut, ...]:
    """The sentences of ``topic`` that no scene of ``lesson`` has whole, in their order.

    For scripts whose words are those of the topic; what ``lesson`` names itself is not repeated.
    """
    texts = [lesson.title, *(part.text for part in lesson.left_out)]
    texts += [text for scene in lesson.scenes for text in _strings(scene.model_dump())]
    there = "\n".join(map(_normalized, texts))  # a part of a word is not the word
    return tuple(
        LeftOut(lines=(first, last), text=text, reason=reason)
        for first, last, text, reason in _pieces(read(topic, indented_code=False).blocks)
        if (words := _normalized(text).strip()) and f" {words} " not in there
    )


_Piece = tuple[int, int, str, str]


def _pieces(blocks: Iterable[Block]) -> Iterator[_Piece]:
    for block in blocks:
        first, last = block.first, block.last
        match block:
            case Heading(content=content) | Paragraph(content=content):
                for sentence in sentences(outline_text(content)):
                    yield first, last, sentence.text, _NO_ROOM
                yield from _content_marks(first, last, content)
            case Table(header=header, rows=rows):
                for row in (header, *rows):
                    for cell in row.cells:
                        yield row.first, row.last, outline_text(cell), _NO_ROOM
                        yield from _content_marks(row.first, row.last, cell)
            case ItemList(items=items):
                for item in items:
                    yield from _pieces(item.blocks)
            case Footnote(blocks=inner, label=label):
                yield first, last, label, "label of a footnote"
                yield from _pieces(inner)
            case Quote(blocks=inner):
                yield from _pieces(inner)
            case CodeBlock(text=text, info=info):
                yield first, last, info, "settings of a code block"
                yield first, last, text.strip(), "code"
            case MathBlock(tex=text):
                yield first, last, formula_text(text), _NO_ROOM
            case HtmlBlock(text=text):
                yield first, last, html_text(text, lambda *_: None), _NO_ROOM
                yield from _marks(first, last, partial(html_text, text))
            case FrontMatter(text=text):
                yield first, last, text, "front matter"
            case LinkDefinition(label=label, url=url, title=title):
                yield first, last, f"{label}: {url} {title}".strip(), ADDRESS
            case _:
                pass


def _content_marks(first: int, last: int, content: Content) -> Iterator[_Piece]:
    """What is no text of the line: addresses, titles, tags, comments."""
    return _marks(first, last, lambda leave_out: shown_text(content, leave_out))


def _marks(first: int, last: int, reading: Callable[[LeaveOut], str]) -> Iterator[_Piece]:
    marks: list[tuple[str, str]] = []
    reading(lambda *mark: marks.append(mark))
    return ((first, last, *mark) for mark in marks)


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
    """Letters and figures alone, in words: the script adds stops and may break lines."""
    letters = (letter if letter.isalnum() else " " for letter in text.casefold())
    return f" {' '.join(''.join(letters).split())} "
