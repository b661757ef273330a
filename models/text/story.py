"""Read a story: its title, its chapters and scenes, and its paragraphs in order.

Markdown is read as :mod:`models.text.markdown` reads it. Beyond that, prose has marks of its own:
ornaments between scenes, chapter lines, and a title line.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.text.document import (
    Block,
    CodeBlock,
    Content,
    Footnote,
    FootnoteMark,
    FrontMatter,
    Heading,
    Html,
    HtmlBlock,
    Inline,
    ItemList,
    Link,
    LinkDefinition,
    MathBlock,
    Paragraph,
    Picture,
    Quote,
    Rule,
    Styled,
    Table,
    plain_text,
    source_lines,
)
from models.text.markdown import read

Reason = Literal[
    "title",
    "chapter_title",
    "code",
    "front_matter",
    "comment",
    "html_tag",
    "link_address",
    "footnote_mark",
    "check_box",
]

# Punctuation that is said or read, and marks that Markdown needs: a line of these is no ornament.
_NO_ORNAMENT = frozenset(".…!?¡¿,;:'\"“”‘’„«»‹›()[]{}<>|\\/`$%&@。，！？、：；「」『』（）؟،؛।")
_RULER = re.compile(r"-+|=+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_SPEAKS = re.compile(r"[–—―]\s*[^\W_]|[–—―]\s*[¿¡«“]")  # a turn of a dialogue
_ENDS = tuple('.!?…:»”"。！？')
_STOPS = ".!?…。！？:;,，、—–-"
_CHAPTER_WORD = (
    "chapter|kapitel|cap[íi]tulo|chapitre|capitolo|hoofdstuk|rozdział|kapitola|kapitlet|глава|розділ"
    "|fejezet|luku|bölüm"
)
_CHAPTER = re.compile(
    rf"(?:{_CHAPTER_WORD}|part|teil|parte|partie|часть|book|buch|libro|livre|act|akt|scene|szene)"
    r"\s+(?:\d+|(?-i:[IVXLC]+))\b.{0,80}"
    rf"|(?:{_CHAPTER_WORD})\s+[^\W\d_]+(?:-[^\W\d_]+)?(?:\s*[:.–—-].{{0,80}})?"
    rf"|(?-i:[^\W\d_a-zà-ÿа-я])\w*\s+(?:{_CHAPTER_WORD})(?:\s*[:.–—-].{{0,80}})?"
    r"|(?:prologue|epilogue|prolog|epilog|prólogo|epílogo|пролог|эпилог)(?:\s*[:–—-].{0,80})?"
    r"|第\s*[一二三四五六七八九十百零〇\d]+\s*[章节節回話话幕部].{0,60}"
    r"|(?-i:[IVXLC]+)\.?|\d{1,3}\.?",
    re.IGNORECASE,
)
_MAX_TITLE = 80  # characters of a title line without a mark
_TITLE_ABOVE_TEXT = 5  # words of a title line that no blank line parts from the text


class LeftOut(NamedTuple):
    """Words of the story that the narration does not say, and why."""

    text: str
    reason: Reason


@dataclass(frozen=True)
class StoryPart:
    """What stands between two breaks or headings; ``title`` where it begins a chapter."""

    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """A story in the order in which it is written; without ``parts`` nothing of it is prose."""

    title: str
    parts: tuple[StoryPart, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def chapters(self) -> int:
        """Count the parts that have a title."""
        return sum(bool(part.title) for part in self.parts)


def read_story(source: str) -> Story:
    """Read ``source``; every word of it is in a paragraph, or in ``left_out``.

    A byte order mark is skipped; lines end with LF, CR LF or CR.
    """
    reader = _Reader()
    text = "\n".join(_with_rules(re.split(r"\r\n?|\n", source.removeprefix("\ufeff"))))
    reader.take(read(text, indented_code=False).blocks)
    return reader.story()


def is_scene_break(line: str) -> bool:
    """Return whether ``line`` is an ornament between scenes, such as ``* * *``, ``⁂`` or ``§``."""
    marks = "".join(line.split())
    return (
        0 < len(marks) <= 80
        and not set(marks) & _NO_ORNAMENT
        and all(unicodedata.category(c)[0] in "PS" or c in "\ufe0e\ufe0f" for c in marks)
    )


def _with_rules(lines: list[str]) -> Iterator[str]:
    """Yield ``lines`` with every ornament written as Markdown's rule.

    Lines of ``-`` or ``=`` alone stay: they may underline a heading. Within code all stay; a fence
    that nothing closes is text, and so is ``~~~`` without the name of a language.
    """
    closing = [_FENCE.fullmatch(line) for line in lines]
    longest = {"`": [0] * (len(lines) + 1), "~": [0] * (len(lines) + 1)}  # in all lines from one on
    for number in reversed(range(len(lines))):
        for mark, lengths in longest.items():
            found = closing[number]
            here = found is not None and found[1][0] == mark and not found[2].strip()
            lengths[number] = max(lengths[number + 1], len(found[1]) if found and here else 0)
    open_fence = ""
    for number, line in enumerate(lines):
        fence = closing[number]
        if open_fence:
            if fence and fence[1].startswith(open_fence) and not fence[2].strip():
                open_fence = ""
            yield line
        elif fence and (fence[1][0] == "`" or fence[2].strip()):
            closes = longest[fence[1][0]][number + 1] >= len(fence[1])
            open_fence = fence[1] if closes else ""
            yield line if closes else f"\\{line.lstrip()}"
        elif is_scene_break(line) and not _RULER.fullmatch(line.strip()):
            yield "***"
        else:
            yield line


class _Reader:
    """Collect paragraphs; a heading, a chapter line or a break begins a part."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, list[str]]] = [("", [])]
        self._levels = [0]  # of the parts' headings; 99 after a break, 7 of a chapter line
        self._left_out: list[LeftOut] = []
        self._first: list[str] = []  # lines of the first paragraph, where a title may stand

    def story(self) -> Story:
        title = self._top_heading()
        if title is None:
            title = self._title_line()
        self._tell_last_titles()
        parts = [StoryPart(name, tuple(said)) for name, said in self._parts if name or said]
        if not any(part.paragraphs for part in parts):
            return Story(title or "", (), ())
        return Story(title or "", tuple(parts), tuple(self._left_out))

    def take(self, blocks: Iterable[Block], inside: bool = False) -> None:
        """Add ``blocks``; ``inside`` quotes, footnotes and lists a heading is a paragraph."""
        for block in blocks:
            match block:
                case Heading():
                    self._take_heading(block, inside)
                case Paragraph(content=content):
                    self._take_paragraph(content, inside)
                case ItemList():
                    self._take_list(block)
                case Table(header=header, rows=rows):
                    for row in (header, *rows):
                        self._say(", ".join(filter(None, map(self._text, row.cells))))
                case Quote(blocks=inner):
                    self.take(inner, inside=True)
                case Footnote(label=label, blocks=inner):
                    self._leave(label, "footnote_mark")
                    self.take(inner, inside=True)
                case CodeBlock(closed=True, info=info, text=text):
                    self._leave(f"{info} {text}", "code")
                case CodeBlock(info=info, text=text):  # opened, never closed: it is no code
                    for paragraph in (info, *re.split(r"\n[ \t]*\n", text)):
                        self._say(paragraph)
                case MathBlock(tex=tex):
                    self._say(tex)
                case HtmlBlock(text=text):
                    self._say(self._without_tags(text))
                case LinkDefinition(url=url, title=title):
                    self._leave(f"{block.label} {url} {title}", "link_address")
                case FrontMatter(text=text):
                    self._leave(text, "front_matter")
                case Rule():
                    self._break()

    def _take_heading(self, block: Heading, inside: bool) -> None:
        text = self._text(block.content)
        lines = source_lines(block.content)
        if inside:
            self._say(text)
        elif not text or is_scene_break(text):  # "###" alone
            self._break()
        elif block.underlined and (len(lines) > 1 or text[-1] in _STOPS):
            self._take_paragraph(block.content, inside)  # in a story the line below is a break
            self._break()
        else:
            self._begin(text, block.level)

    def _take_paragraph(self, content: Content, inside: bool) -> None:
        lines: list[str] = []
        for line in source_lines(content):
            text = self._text(line)
            ornament = is_scene_break(text)  # an escaped "\* \* \*"
            speaks = _SPEAKS.match(text) and bool(lines) and lines[-1].endswith(_ENDS)
            if ornament or speaks:
                self._say(" ".join(lines))
                lines = []
            if ornament:
                self._break()
            else:
                lines.append(text)
        said = " ".join(filter(None, lines))
        if not inside and len(source_lines(content)) == 1 and _is_chapter_line(said):
            self._begin(said, 7)
            return
        if not inside and self._is_empty():
            self._first = lines
        self._say(said)

    def _take_list(self, block: ItemList) -> None:
        if not any(item.blocks for item in block.items):
            if len(block.items) == 1 and block.ordered:  # "1." alone numbers a chapter
                self._begin(block.items[0].mark, 7)
            else:
                for item in block.items:
                    self._say(item.mark if block.ordered else "")
                self._break()
            return
        for item in block.items:
            if item.checked is not None:
                self._leave("[x]" if item.checked else "[ ]", "check_box")
            number = f"{item.mark} " if block.ordered else ""
            first, *rest = item.blocks or (None,)
            if isinstance(first, Paragraph):
                self._say(number + self._text(first.content))
            else:
                self._say(number)
                rest = [first, *rest] if first is not None else rest
            self.take(rest, inside=True)

    def _say(self, text: str) -> None:
        if text := " ".join(text.split()):
            self._parts[-1][1].append(text)

    def _leave(self, text: str, reason: Reason) -> None:
        if text := " ".join(text.split()):
            self._left_out.append(LeftOut(text, reason))

    def _break(self) -> None:
        if any(self._parts[-1]):
            self._start("", 99)

    def _begin(self, title: str, level: int) -> None:
        self._left_out.append(LeftOut(title, "chapter_title"))
        self._start(title, level)

    def _start(self, title: str, level: int) -> None:
        self._parts.append((title, []))
        self._levels.append(level)

    def _is_empty(self) -> bool:
        return len(self._parts) == 1 and not self._parts[0][1]

    def _text(self, content: Content) -> str:
        """Return the words of ``content`` without tags and addresses, which are left out."""
        return plain_text(tuple(self._readable(content)))

    def _readable(self, content: Content) -> Iterator[Inline]:
        for part in content:
            if isinstance(part, Html):
                self._leave(part.text, "comment" if part.text.startswith("<!--") else "html_tag")
            elif isinstance(part, Link | Picture):
                inner = tuple(self._readable(part.content))
                shown = plain_text(inner)
                if part.url not in (shown, f"mailto:{shown}"):
                    self._leave(f"{part.url} {part.title}", "link_address")
                yield from inner
            elif isinstance(part, Styled):
                yield Styled(part.style, tuple(self._readable(part.content)))
            else:
                if isinstance(part, FootnoteMark):
                    self._leave(part.label, "footnote_mark")
                yield part

    def _without_tags(self, html: str) -> str:
        for pattern, reason in ((_COMMENT, "comment"), (_TAG, "html_tag")):
            for match in pattern.finditer(html):
                self._leave(match.group(), reason)  # type: ignore[arg-type]
            html = pattern.sub(" ", html)
        return html

    def _top_heading(self) -> str | None:
        """Take the only heading of the highest level for the title, if it stands above all."""
        headings = [level for level in self._levels if 0 < level < 7]
        top = min(headings, default=0)
        if not top or headings.count(top) != 1 or self._parts[0][1] or len(self._levels) < 2:
            return None
        if self._levels[1] != top:
            return None
        title = self._parts[1][0]
        self._parts[1] = ("", self._parts[1][1])
        self._rename(title)
        return title

    def _title_line(self) -> str | None:
        """Take a first line that stands alone and ends like a title for the title."""
        if not self._first:
            return None
        said = self._parts[0][1]
        lines = self._first
        line = lines[0]
        if not line or len(line) > _MAX_TITLE or not line[-1].isalnum() or not line[0].isalnum():
            return None
        if len(lines) == 1 and (len(said) > 1 or len(self._parts) > 1):
            del said[0]
        elif len(lines) > 1 and _is_title_above(line, lines[1]):
            said[0] = said[0].removeprefix(line).lstrip()
        else:
            return None
        self._left_out.insert(0, LeftOut(line, "title"))
        return line

    def _tell_last_titles(self) -> None:
        """Turn headings that nothing follows into paragraphs: "The End"."""
        told: Counter[LeftOut] = Counter()
        for number in reversed(range(len(self._parts))):
            name, said = self._parts[number]
            if said:
                break
            if name:
                self._parts[number] = ("", [name])
                told[LeftOut(name, "chapter_title")] += 1
        kept: list[LeftOut] = []
        for entry in reversed(self._left_out):
            if told[entry]:
                told[entry] -= 1
            else:
                kept.append(entry)
        self._left_out = kept[::-1]

    def _rename(self, title: str) -> None:
        at = self._left_out.index(LeftOut(title, "chapter_title"))
        self._left_out[at] = LeftOut(title, "title")


def _is_chapter_line(line: str) -> bool:
    ends_like_text = line.endswith(("!", "?", "…")) or (line.endswith(".") and " " in line)
    return len(line) <= _MAX_TITLE and not ends_like_text and bool(_CHAPTER.fullmatch(line))


def _is_title_above(line: str, text: str) -> bool:
    """Return whether ``line`` is a title that no blank line parts from ``text``.

    The first line of a wrapped paragraph is about as long as the second; a title is much shorter.
    """
    begins = text.lstrip("\"'“‘«¿¡—–- ")[:1]
    return (
        len(line.split()) <= _TITLE_ABOVE_TEXT
        and len(text) >= 2 * len(line)
        and not begins.islower()
        and any(stop in text for stop in ".!?。！？")
    )
