"""Lists, tables, quotes, code and pictures of Markdown as drafts of scenes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

from deployments.generators.study_animation.fenced_blocks import BadMarkdown, as_sentences
from deployments.generators.study_animation.inline_text import LeaveOut, shown_text
from deployments.generators.study_animation.list_items import DOT, Line, has_picture
from deployments.generators.study_animation.scene_drafts import Draft, Prose, chunks
from deployments.generators.study_animation.table_text import row_text
from models.formulas.inline import plain_line
from models.schemas.scene_base import MAX_CELL, MAX_LINE
from models.text.document import (
    CodeBlock,
    Content,
    Inline,
    LineBreak,
    Link,
    Picture,
    Styled,
    Table,
)
from models.text.phrases import split_text

_MOST = {"bullets": 6, "steps": 8}
_MOST_ROWS, _MOST_COLUMNS = 6, 6
_LONGEST_CELL = {1: 120, 2: 120, 3: 90, 4: 60, 5: 30, 6: 24}  # columns: characters; more is a list
_LONGEST_NAME = 40  # of a column
LONGEST_CAPTION = 160  # that fits below a picture in every shape of the frame
_MOST_QUOTED = 3
_MOST_CODE_LINES, _MOST_CODE = 24, 1600
_SECONDS_A_CODE_LINE, _LONGEST_SILENCE = 1.2, 60.0
_NOTE = re.compile(r"\[!(\w+)\][+-]?[ \t]*")
_CAPTION = re.compile(r"\b(?:title|caption|file|filename)=(?:\"([^\"]*)\"|'([^']*)'|(\S+))")


def list_drafts(kind: str, lines: list[Line]) -> Iterator[Draft]:
    """Scenes of bullets or steps, whose numbers go on from one scene to the next."""
    for part in chunks([line for line in lines if line.text], _MOST[kind]):
        texts = [line.text for line in part]
        scene: dict[str, object] = {"type": kind, kind: texts}
        marks, levels = [line.mark for line in part], [line.level for line in part]
        first = int(marks[0]) if kind == "steps" and marks[0].isdecimal() else 1
        usual = (
            [str(first + index) for index in range(len(part))]
            if kind == "steps"
            else [DOT] * len(part)
        )
        if any(levels):
            scene["levels"] = levels
        if marks != usual:
            scene["marks"] = marks
        elif kind == "steps":
            scene["start"] = first
        yield Draft(part[0].line, part[-1].last, scene, as_sentences(texts))


def table_drafts(block: Table, leave_out: LeaveOut) -> Iterator[Draft]:
    """Scenes of a table with its header, or of bullets where its columns are too narrow."""
    header, *rows = (
        [shown_text(cell, leave_out) for cell in row.cells] for row in (block.header, *block.rows)
    )
    if not any(map(any, rows)):
        yield from list_drafts(
            "bullets", [Line(block.first, block.last, text, 0, DOT) for text in _pieces(header)]
        )
        return
    longest = _LONGEST_CELL.get(len(header), 0)
    fits = all(_fits(cell, longest) for row in rows for cell in row) and all(
        _fits(name, min(longest, _LONGEST_NAME)) for name in header
    )
    numbered = [(lines.first, lines.last, row) for lines, row in zip(block.rows, rows, strict=True)]
    if not fits or not any(header):
        for column, name in enumerate(header):
            if not any(row[column] for row in rows):
                leave_out(name, "name of an empty column")
        lines = [
            Line(first, last, piece, 0, DOT if number == 0 else "")
            for first, last, row in numbered
            for number, piece in enumerate(split_text(row_text(header, row), MAX_LINE))
        ]
        yield from list_drafts("bullets", lines)
        return
    for part in chunks([entry for entry in numbered if any(entry[2])], _MOST_ROWS):
        scene = {"type": "table", "header": header, "rows": [row for _, _, row in part]}
        said = as_sentences([row_text(header, row) for _, _, row in part])
        first = block.first if part[0] == numbered[0] else part[0][0]
        yield Draft(first, part[-1][1], scene, said)


def _fits(cell: str, longest: int) -> bool:
    return len(cell) <= MAX_CELL and len(split_text(plain_line(cell), longest)) < 2


def _pieces(texts: Sequence[str]) -> list[str]:
    return [piece for text in texts for piece in split_text(text, MAX_LINE)]


def quote_drafts(texts: list[Prose], label: str) -> tuple[str, list[Draft]]:
    """The label of a note, such as ``[!TIP]``, and the scenes of a quote's paragraphs."""
    says_label = False
    if texts and (note := _NOTE.match(texts[0].text)):
        label, says_label = note.group(1).capitalize()[:40], True
        first = texts[0]
        texts = [Prose(first.first, first.last, first.text[note.end() :]), *texts[1:]]
    pieces = [
        Prose(part.first, part.last, piece)
        for part in texts
        for piece in split_text(part.text, MAX_LINE)
    ]
    drafts = []
    for part in chunks(pieces, _MOST_QUOTED):
        quotes = [piece.text for piece in part]
        said = as_sentences([label, *quotes] if says_label else quotes)
        says_label = False
        scene = {"type": "quote", "label": label, "quotes": quotes}
        drafts.append(Draft(part[0].first, part[-1].last, scene, said))
    return label, drafts


def code_drafts(block: CodeBlock, leave_out: LeaveOut) -> Iterator[Draft]:
    """Scenes of code; the voice is silent, but for what is said before."""
    settings = block.info[len(block.name) :].strip()
    caption = ""
    if found := _CAPTION.search(settings):
        caption, *rest = split_text(next(filter(None, found.groups()), ""), LONGEST_CAPTION) or [""]
        leave_out(" ".join(rest), "a title too long to be shown")
        settings = settings.replace(found.group(), "", 1)
    leave_out(settings.strip(), "settings of a code block")
    lines = [
        piece
        for line in block.text.rstrip().split("\n")
        for piece in ([line[n : n + _MOST_CODE] for n in range(0, len(line), _MOST_CODE)] or [""])
    ]
    at = block.first + (1 if block.marks else 0)
    parts: list[list[str]] = [[]]
    for line in lines:
        size = sum(len(before) + 1 for before in parts[-1])
        if parts[-1] and (len(parts[-1]) >= _MOST_CODE_LINES or size + len(line) > _MOST_CODE):
            parts.append([])
        parts[-1].append(line)
    for part in parts:
        code = "\n".join(part)
        if code.strip():
            seconds = min(2 + _SECONDS_A_CODE_LINE * len(part), _LONGEST_SILENCE)
            scene = {"type": "code", "code": code, "caption": caption, "min_seconds": seconds}
            scene["language"] = block.name[:40] if block.marks else ""
            yield Draft(at, min(at + len(part) - 1, block.last), scene, "")
            caption = ""
        at += len(part)


PictureText = tuple[Content, Picture | None, Content, int]


def pieces_of_picture_text(content: Content) -> Iterator[PictureText]:
    """Part text at its pictures: (text up to and with the picture, it, text after it, lines).

    Text on the line of a picture belongs to it; text on lines above or below is of its own, with
    no picture. ``lines`` counts the line ends since the part before.
    """
    lines: list[list[Inline]] = [[]]
    for part in content:
        if isinstance(part, LineBreak):
            lines.append([])
        else:
            lines[-1].append(part)
    waiting: list[Inline] = []
    passed = 0
    for number, line in enumerate(lines):
        if not has_picture(tuple(line)):
            waiting += [*([LineBreak(False)] if waiting else []), *line]
            continue
        if waiting:
            yield tuple(waiting), None, (), 0
            waiting = []
        found = [index for index, part in enumerate(line) if has_picture((part,))]
        for order, index in enumerate(found):
            begin = found[order - 1] + 1 if order else 0
            after = line[index + 1 :] if index == found[-1] else []
            inner = list(_pictures(line[index]))
            yield tuple(line[begin : index + 1]), inner[0], tuple(after), number - passed
            passed = number
            for more in inner[1:]:  # several in one link: their words are said with the first
                yield (), Picture(more.url, "", ()), (), 0
    if waiting:
        yield tuple(waiting), None, (), 0


def _pictures(part: Inline) -> Iterator[Picture]:
    if isinstance(part, Picture):
        yield part
    elif isinstance(part, Styled | Link):
        for inner in part.content:
            yield from _pictures(inner)


def picture_name(line: int, url: str, given: Sequence[str]) -> str:
    """Return the given picture that ``url`` names with its last part, with or without its suffix.

    Raises:
        BadMarkdown: none of them; the message says what to write.
    """
    path = unquote(urlsplit(url).path if "//" in url else url.split("?")[0].split("#")[0])
    last = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if last in given:
        return last
    stem = last.rpartition(".")[0] or last
    alike = [name for name in given if stem in (name, name.rpartition(".")[0])]
    if len(alike) == 1:
        return alike[0]
    wanted = re.sub(r"[^\w.-]+", "_", last).strip("_")[:64] or "picture"
    how = f"send the picture in pictures under the name {wanted!r}"
    if wanted != last:
        how += f" and write ![...]({wanted})"
    have = f"; given are {', '.join(given)}" if given else ""
    raise BadMarkdown(line, f"there is no picture {last[:80]!r} (none is fetched): {how}{have}")
