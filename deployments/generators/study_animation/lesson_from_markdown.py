"""Markdown to a lesson script: which block becomes which scene.

=====================  ===================================================================
``# Heading``          a title scene; the first one names the lesson
``## Heading``         the heading of the scenes that follow
``- point``            a bullets scene
``1. step``            a steps scene
a table                a bullets scene, a point for each row
``$$ a + b = c $$``    an equation scene, built up at ``+``, ``-``, ``=`` and their like
``![caption](name)``   alone on its line: a picture scene; ``name`` is that of a picture given with
                       the request
```` ```plot ````      a plot, ```` ```diagram ```` a diagram, ```` ```quiz ```` a quiz:
                       see :mod:`deployments.generators.study_animation.fenced_blocks`
paragraph              what the voice says: before a block with it, after the last block of a
                       heading with that; where a heading has no block, its sentences are shown
=====================  ===================================================================

Everything else is plain text: HTML, links and other markup are shown or spoken, never followed.
Comments and front matter are neither shown nor spoken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deployments.generators.study_animation.fenced_blocks import (
    BLOCK_PARSERS,
    BadMarkdown,
    SceneDraft,
    as_sentences,
)
from models.schemas.lesson import MAX_SCENES, Lesson, Scene
from models.text.document import (
    Block,
    CodeBlock,
    Content,
    Footnote,
    Heading,
    HtmlBlock,
    ItemList,
    Link,
    MathBlock,
    Paragraph,
    Picture,
    Quote,
    Rule,
    Table,
    Text,
    is_ornament,
    plain_text,
    source_lines,
    without_comments,
)
from models.text.markdown import read
from models.text.sentences import sentences
from models.text.shorten import shorten

_MOST_BULLETS, _MOST_STEPS, _MOST_SENTENCES = 6, 8, 4
_LONGEST_LINE, _LONGEST_HEADING, _LONGEST_NARRATION = 240, 120, 3000
_scene: TypeAdapter[Any] = TypeAdapter(Scene)


@lru_cache(maxsize=16)  # a request is validated, priced and made from the same text
def lesson_from_markdown(text: str, language: str = "en") -> Lesson:
    """The same text gives the same lesson.

    Raises:
        BadMarkdown: a block cannot become a scene; the message says which line and why.
    """
    reader = _Reader()
    for block in read(text).blocks:
        reader.take(block)
    reader.end_section()
    if not reader.scenes:
        raise BadMarkdown(1, "there is nothing to show: write a heading, a list or a paragraph")
    if len(reader.scenes) > MAX_SCENES:
        raise BadMarkdown(
            reader.scenes[MAX_SCENES][0],
            f"a lesson has at most {MAX_SCENES} scenes: make two of it",
        )
    scenes = tuple(_checked(line, draft) for line, draft in reader.scenes)
    title = next((d["title"] for _, d in reader.scenes if d["type"] == "title"), "")
    return Lesson(title=title or reader.heading or "Lesson", language=language, scenes=scenes)


def _checked(line: int, draft: SceneDraft) -> Scene:
    try:
        scene: Scene = _scene.validate_python(draft)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        raise BadMarkdown(line, f"{draft['type']}: {place} {first['msg']}".strip()) from error
    return scene


class _Reader:
    """Turns blocks into scenes, one after another."""

    def __init__(self) -> None:
        self.scenes: list[tuple[int, SceneDraft]] = []
        self.heading = ""
        self._shown = 0  # scenes since the heading
        self._prose: list[str] = []
        self._prose_line = 1
        self._only_heading = False  # is all that the last scene says, for want of other words

    def take(self, block: Block, quoted: bool = False) -> None:
        """``quoted``: it is part of a quote, a footnote or a list, whose headings are only read."""
        match block:
            case Heading():
                self._take_heading(block, quoted)
            case Paragraph():
                self._take_paragraph(block)
            case ItemList():
                self._take_list(block)
            case Table(header=header, rows=rows):
                cells = [[plain_text(cell) for cell in row.cells] for row in (header, *rows)]
                self._add_points(
                    block.first, "bullets", [" – ".join(filter(None, c)) for c in cells]
                )
            case Quote(blocks=blocks) | Footnote(blocks=blocks):
                for inner in blocks:
                    self.take(inner, quoted=True)
            case CodeBlock():
                self._take_code(block)
            case MathBlock(tex=tex):
                self._add(block.first, {"type": "equation", "terms": terms_of(tex)})
            case HtmlBlock(text=text):
                self._say(block.first, without_comments(text))
            case Rule():
                self.end_section()

    def _take_heading(self, block: Heading, quoted: bool) -> None:
        text = plain_text(block.content)
        if quoted:
            self._say(block.first, text)
        elif is_ornament(text):  # "###" alone parts what is above from what is below
            self.end_section()
        elif block.underlined and len(text) > _LONGEST_HEADING:
            self._say(block.first, text)  # a paragraph and a line below it, meant as a rule
            self.end_section()
        else:
            self.end_section()
            self.heading, self._shown = shorten(text, _LONGEST_HEADING), 0
            if block.level == 1:
                self._add(block.first, {"type": "title", "title": self.heading})

    def _take_paragraph(self, block: Paragraph) -> None:
        said: list[str] = []
        for line, content in enumerate(source_lines(block.content), start=block.first):
            if picture := _picture(content):
                self._say(block.first, " ".join(said))
                said = []
                caption = shorten(plain_text(picture.content), _LONGEST_LINE)
                draft = {"type": "picture", "image": picture.url, "caption": caption}
                self._add(line, draft | {"narration": as_sentences([caption])})
            elif content and isinstance(content[0], Text) and content[0].text.startswith("$$"):
                raise BadMarkdown(line, "the block is never closed with $$")
            else:
                said.append(plain_text(content))
        self._say(block.first, " ".join(said))

    def _take_list(self, block: ItemList) -> None:
        kind = "steps" if block.ordered else "bullets"
        for is_text, parts in groupby(_points(block), key=lambda part: isinstance(part, str)):
            if is_text:
                self._add_points(
                    block.first, kind, [part for part in parts if isinstance(part, str)]
                )
            else:
                for part in parts:
                    assert not isinstance(part, str)
                    self.take(part, quoted=True)

    def _take_code(self, block: CodeBlock) -> None:
        if not block.marks:  # indented: it is read like a paragraph
            self._say(block.first, block.text)
            return
        if block.name not in BLOCK_PARSERS:
            name = block.name or "code"
            raise BadMarkdown(
                block.first,
                f"a block of {name!r} cannot be drawn; there are {', '.join(BLOCK_PARSERS)}",
            )
        if not block.closed:
            raise BadMarkdown(block.first, f"the block is never closed with {block.marks}")
        self._add(block.first, BLOCK_PARSERS[block.name](block.first, block.text.split("\n")))

    def _say(self, line: int, text: str) -> None:
        if text := " ".join(text.split()):
            if not self._prose:
                self._prose_line = line
            self._prose.append(text)

    def end_section(self) -> None:
        """What was said since the last block is said with it, or shown where there is none."""
        prose, self._prose = self._prose, []
        if not prose:
            return
        if self._shown:
            before = self.scenes[-1][1]
            whole = " ".join([*([] if self._only_heading else [before["narration"]]), *prose])
            if len(whole) <= _LONGEST_NARRATION:
                before["narration"] = whole
                self._only_heading = False
                return
        said = [piece.text for text in prose for piece in sentences(text)]
        for start in range(0, len(said), _MOST_SENTENCES):
            part = said[start : start + _MOST_SENTENCES]
            bullets = [shorten(text, _LONGEST_LINE) for text in part]
            self._add(
                self._prose_line,
                {"type": "bullets", "bullets": bullets, "narration": " ".join(part)},
            )

    def _add_points(self, line: int, kind: str, points: list[str]) -> None:
        most = _MOST_BULLETS if kind == "bullets" else _MOST_STEPS
        points = [shorten(text, _LONGEST_LINE) for text in points if text]
        count = max(1, -(-len(points) // most))  # scenes of like length
        size = max(1, -(-len(points) // count))
        for start in range(0, len(points), size):
            part = points[start : start + size]
            self._add(line, {"type": kind, kind: part, "narration": as_sentences(part)})

    def _add(self, line: int, draft: SceneDraft) -> None:
        said = " ".join([*self._prose, draft.get("narration", "")]).strip()
        self._prose = []
        if draft["type"] not in ("title", "quiz"):
            draft.setdefault("heading", self.heading)
        self._only_heading = not said
        if not said:
            said = as_sentences([draft.get("title") or draft.get("heading", "")])
        draft["narration"] = shorten(said, _LONGEST_NARRATION)
        self.scenes.append((line, draft))
        self._shown += 1


def _points(block: ItemList) -> Iterator[str | Block]:
    """The text of the items, also of lists of the same kind within, and what else is among it."""
    for item in block.items:
        said: list[str] = []
        for inner in item.blocks:
            if isinstance(inner, Paragraph) and not any(map(_picture, source_lines(inner.content))):
                said.append(plain_text(inner.content))
                continue
            if said:
                yield " ".join(said)
                said = []
            if isinstance(inner, ItemList) and inner.ordered == block.ordered:
                yield from _points(inner)
            else:
                yield inner
        if said:
            yield " ".join(said)


def _picture(line: Content) -> Picture | None:
    """The picture that is all there is on ``line``; it may be a link."""
    parts = [part for part in line if not (isinstance(part, Text) and not part.text.strip())]
    if len(parts) != 1:
        return None
    [part] = parts
    if isinstance(part, Link):
        return _picture(part.content)
    return part if isinstance(part, Picture) else None


_RELATIONS = r"\\(?:leq?|geq?|neq?|approx|equiv|sim|to|implies|iff|pm|cdot|times)(?![A-Za-z])"
_TOKEN = re.compile(rf"\\(?:begin|left)(?![A-Za-z])|\\(?:end|right)(?![A-Za-z])|{_RELATIONS}|\\.|.")
_MOST_TERMS = 16


def terms_of(equation: str) -> list[str]:
    """Parts of an equation as they are written one after another: before each sign outside of
    brackets."""
    terms, depth = [""], 0
    for token in _TOKEN.findall(" ".join(equation.split())):
        if token in ("{", "(", "[", "\\begin", "\\left"):
            depth += 1
        elif token in ("}", ")", "]", "\\end", "\\right"):
            depth -= 1
        sign = token in "=+-<>≤≥≠≈" or (re.fullmatch(_RELATIONS, token) and depth == 0)
        if sign and depth == 0 and re.search(r"[\w})\]!']\s*$", terms[-1]):
            terms.append("")
        terms[-1] += token
    terms = [term.strip() for term in terms if term.strip()]
    return [*terms[: _MOST_TERMS - 1], *([" ".join(terms[15:])] if terms[15:] else [])]
