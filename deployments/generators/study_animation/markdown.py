"""Markdown to a lesson script: which block becomes which scene.

=====================  ===================================================================
``# Heading``          a title scene; the first one names the lesson
``## Heading``         the heading of the scenes that follow
``- point``            a bullets scene
``1. step``            a steps scene
``$$ a + b = c $$``    an equation scene, built up at ``+``, ``-``, ``=`` and their like
``![caption](name)``   a picture scene; ``name`` is that of a picture given with the request
```` ```plot ````      a plot, ```` ```diagram ```` a diagram, ```` ```quiz ```` a quiz:
                       see :mod:`deployments.generators.study_animation.fenced_blocks`
paragraph              what the voice says: before a block with it, after the last block of a
                       heading with that; where a heading has no block, its sentences are shown
=====================  ===================================================================

Everything else is plain text: HTML, links and other markup are shown or spoken, never followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from deployments.generators.study_animation.fenced_blocks import (
    BLOCK_PARSERS,
    BadMarkdown,
    SceneDraft,
    as_sentences,
)
from models.schemas.lesson import MAX_SCENES, Lesson, Scene
from models.text.outline import without_marks
from models.text.sentences import sentences

_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_BULLET = re.compile(r"^\s*[-*+•]\s+(.*)$")
_STEP = re.compile(r"^\s*\d{1,3}[.)]\s+(.*)$")
_FENCE = re.compile(r"^\s{0,3}(```|~~~)\s*(\S*)")
_PICTURE = re.compile(r"^\s*!\[([^\]]*)\]\(\s*([^)\s]*)[^)]*\)\s*$")
_RULE = re.compile(r"^\s*([-*_])(?:\s*\1){2,}\s*$")
_MOST_BULLETS, _MOST_STEPS, _MOST_SENTENCES = 6, 8, 4
_LONGEST_LINE, _LONGEST_HEADING, _LONGEST_NARRATION = 240, 120, 3000
_scene: TypeAdapter[Any] = TypeAdapter(Scene)


class _Block(NamedTuple):
    line: int  # counted from 1
    kind: str
    lines: list[str]
    name: str = ""  # of a fence, or of a picture


def lesson_from_markdown(text: str, language: str = "en") -> Lesson:
    """The same text gives the same lesson.

    Raises:
        BadMarkdown: a block cannot become a scene; the message says which line and why.
    """
    reader = _Reader()
    for block in _blocks(text):
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

    def take(self, block: _Block) -> None:
        if block.kind == "prose":
            if not self._prose:
                self._prose_line = block.line
            self._prose.append(without_marks(" ".join(block.lines)))
        elif block.kind == "rule":
            self.end_section()
        elif block.kind in ("title", "heading"):
            self.end_section()
            self.heading, self._shown = cut(without_marks(block.lines[0]), _LONGEST_HEADING), 0
            if block.kind == "title" and self.heading:
                self._add(block.line, {"type": "title", "title": self.heading})
        else:
            for draft in self._drafts(block):
                self._add(block.line, draft)

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
                return
        said = [piece.text for text in prose for piece in sentences(text)]
        for start in range(0, len(said), _MOST_SENTENCES):
            part = said[start : start + _MOST_SENTENCES]
            bullets = [cut(text, _LONGEST_LINE) for text in part]
            self._add(
                self._prose_line,
                {"type": "bullets", "bullets": bullets, "narration": " ".join(part)},
            )

    def _drafts(self, block: _Block) -> Iterator[SceneDraft]:
        if block.kind in ("bullets", "steps"):
            most = _MOST_BULLETS if block.kind == "bullets" else _MOST_STEPS
            lines = [cut(text, _LONGEST_LINE) for text in map(without_marks, block.lines) if text]
            count = max(1, -(-len(lines) // most))  # scenes of like length
            size = -(-len(lines) // count)
            for start in range(0, len(lines), max(size, 1)):
                part = lines[start : start + size]
                yield {"type": block.kind, block.kind: part, "narration": as_sentences(part)}
        elif block.kind == "equation":
            yield {"type": "equation", "terms": terms_of(" ".join(block.lines))}
        elif block.kind == "picture":
            caption = cut(without_marks(block.lines[0]), _LONGEST_LINE)
            yield {
                "type": "picture",
                "image": block.name,
                "caption": caption,
                "narration": as_sentences([caption]),
            }
        else:
            yield BLOCK_PARSERS[block.name](block.line, block.lines)

    def _add(self, line: int, draft: SceneDraft) -> None:
        said = " ".join([*self._prose, draft.get("narration", "")]).strip()
        self._prose = []
        if draft["type"] not in ("title", "quiz"):
            draft.setdefault("heading", self.heading)
        self._only_heading = not said
        if not said:
            said = as_sentences([draft.get("title") or draft.get("heading", "")])
        draft["narration"] = said if len(said) <= _LONGEST_NARRATION else cut(said, 3000)
        self.scenes.append((line, draft))
        self._shown += 1


def cut(text: str, longest: int) -> str:
    """At most ``longest`` characters, cut between words where there are any."""
    text = text.strip()
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    at = head.rfind(" ")
    return (head[:at] if at > longest // 2 else head).rstrip(" ,;:") + "…"


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


def _blocks(text: str) -> Iterator[_Block]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if not line.strip():
            continue
        if fence := _FENCE.match(line):
            mark, name = fence.group(1), fence.group(2).lower()
            if name not in BLOCK_PARSERS:
                raise BadMarkdown(
                    start + 1,
                    f"a block of {name or 'code'!r} cannot be drawn;"
                    f" there are {', '.join(BLOCK_PARSERS)}",
                )
            at = _end(lines, at, mark, start)
            yield _Block(start + 1, "fence", lines[start + 1 : at - 1], name)
        elif line.strip().startswith("$$"):
            inner = line.strip().removeprefix("$$")
            if inner.rstrip().endswith("$$"):
                body = [inner.rstrip().removesuffix("$$")]
            else:
                at = _end(lines, at, "$$", start)
                body = [inner, *lines[start + 1 : at - 1], lines[at - 1].partition("$$")[0]]
            yield _Block(start + 1, "equation", body)
        elif heading := _HEADING.match(line):
            kind = "title" if len(heading.group(1)) == 1 else "heading"
            yield _Block(start + 1, kind, [heading.group(2)])
        elif picture := _PICTURE.match(line):
            yield _Block(start + 1, "picture", [picture.group(1)], picture.group(2))
        elif _RULE.match(line):
            yield _Block(start + 1, "rule", [])
        elif item := _BULLET.match(line) or _STEP.match(line):
            kind, of = ("bullets", _BULLET) if _BULLET.match(line) else ("steps", _STEP)
            items = [item.group(1)]
            while at < len(lines) and (further := of.match(lines[at]) or _further(lines[at])):
                if further.re is of:
                    items.append(further.group(1))
                else:
                    items[-1] += f" {further.group(1)}"
                at += 1
            yield _Block(start + 1, kind, items)
        else:
            while at < len(lines) and lines[at].strip() and not _begins(lines[at]):
                at += 1
            yield _Block(start + 1, "prose", lines[start:at])


def _further(line: str) -> re.Match[str] | None:
    """An indented line goes on with the item above it."""
    return None if _BULLET.match(line) or _STEP.match(line) else re.match(r"^\s{2,}(\S.*)$", line)


def _begins(line: str) -> bool:
    patterns = (_HEADING, _BULLET, _STEP, _FENCE, _PICTURE)
    return line.strip().startswith("$$") or any(pattern.match(line) for pattern in patterns)


def _end(lines: list[str], at: int, mark: str, start: int) -> int:
    """One past the line that closes what ``start`` opened."""
    for number in range(at, len(lines)):
        closed = lines[number].strip()
        if closed.endswith("$$") if mark == "$$" else closed.startswith(mark):
            return number + 1
    raise BadMarkdown(start + 1, f"the block is never closed with {mark}")
