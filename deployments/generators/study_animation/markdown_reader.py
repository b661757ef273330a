"""Turn the blocks of a document into drafts of scenes, one after another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from deployments.generators.study_animation.block_drafts import (
    LONGEST_CAPTION,
    code_drafts,
    list_drafts,
    picture_name,
    pieces_of_picture_text,
    quote_drafts,
    table_drafts,
)
from deployments.generators.study_animation.fenced_blocks import (
    BLOCK_PARSERS,
    BadMarkdown,
    as_sentences,
)
from deployments.generators.study_animation.inline_text import (
    ADDRESS,
    LeaveOut,
    html_text,
    shown_text,
    spoken_text,
)
from deployments.generators.study_animation.list_items import (
    Line,
    Point,
    has_picture,
    lines_of,
    points,
)
from deployments.generators.study_animation.scene_drafts import Draft, Prose, prose_drafts
from models.formulas.errors import FormulaError
from models.formulas.inline import plain_line, spoken_line
from models.formulas.terms import split_terms
from models.schemas.lesson import LeftOut
from models.schemas.scene_base import MAX_HEADING, MAX_NARRATION
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
    Math,
    MathBlock,
    Paragraph,
    Quote,
    Rule,
    Table,
    Text,
    is_ornament,
    source_lines,
)
from models.text.phrases import split_text

_SPOKEN_WITH_A_SCENE = 600  # characters of prose; more is shown in scenes of its own
_SIGNS = (".", ",", ";", ":")  # behind a formula that is a paragraph
_SETTING = re.compile(r"[\w.-]+[ \t]*:(?:[ \t]|$)")


class MarkdownReader:
    """Collects ``drafts`` of scenes and what is ``left_out``; every word goes to one of them."""

    def __init__(self, pictures: Sequence[str], language: str) -> None:
        self.drafts: list[Draft] = []
        self.left_out: list[LeftOut] = []
        self.heading = ""
        self._heading_lines = (1, 1)
        self._heading_is_due = False  # it is in no scene so far
        self._open = False  # the last scene may say what follows it
        self._prose: list[Prose] = []
        self._pictures, self._language = pictures, language
        self._rule_line = 0
        self._only_words = False  # no block of the document is drawn
        self._defined: set[str] = set()  # addresses and titles that links refer to

    def take_all(self, blocks: Iterable[Block]) -> None:
        """Take a whole document."""
        blocks = tuple(blocks)
        self._only_words = all(map(_is_words, blocks))
        for block in blocks:
            self._take(block)
        self._end_section()
        self.left_out = [part for part in self.left_out if part.text not in self._defined]

    def _take(self, block: Block, quoted: bool = False) -> None:
        """``quoted``: it is part of a quote, a footnote or a list, whose headings are only text."""
        leave_out = self._leaver(block.first, block.last)
        match block:
            case Heading():
                self._take_heading(block, quoted)
            case Paragraph():
                self._take_paragraph(block)
            case ItemList():
                self._take_list(block)
            case Table():
                for draft in table_drafts(block, leave_out):
                    self._add(draft)
                for row in (block.header, *block.rows):
                    for cell in row.cells:
                        self._add_pictures(row.first, cell)
            case Quote(blocks=blocks):
                self._take_quote(blocks)
            case Footnote(blocks=blocks, label=label):
                leave_out(label, "label of a footnote")
                for inner in blocks:
                    self._take(inner, quoted=True)
            case CodeBlock():
                self._take_code(block)
            case MathBlock(tex=tex):
                self._add_equation(block.first, block.last, tex)
            case HtmlBlock(text=text):
                self._say(block.first, block.last, html_text(text, leave_out))
            case LinkDefinition(label=label, url=url, title=title):
                leave_out(f"[{label}]: {url} {title}".strip(), ADDRESS)
                self._defined |= {url, title}
            case FrontMatter(text=text):
                leave_out(text, "front matter; its title names the lesson")
            case Rule():
                self._break(block.first)

    def _leaver(self, first: int, last: int) -> LeaveOut:
        def leave_out(text: str, reason: str) -> None:
            if any(letter.isalnum() for letter in text):
                self.left_out.append(LeftOut(lines=(first, last), text=text, reason=reason))

        return leave_out

    # --- text ----------------------------------------------------------------------------------

    def _take_heading(self, block: Heading, quoted: bool) -> None:
        leave_out = self._leaver(block.first, block.last)
        lines = [shown_text(line, lambda *_: None) for line in source_lines(block.content)]
        if (
            block.underlined
            and block.level == 2
            and block.first - 1 == self._rule_line > 0
            and all(map(_SETTING.match, lines))
        ):
            leave_out("\n".join(lines), "settings of a slide")
            self._break(block.last)
            return
        text = shown_text(block.content, leave_out)
        if quoted:
            self._say(block.first, block.last, text)
        elif is_ornament(text):  # "###" alone parts what is above from what is below
            self._break(0)
        elif block.underlined and len(split_text(text, MAX_HEADING)) > 1:
            self._say(block.first, block.last, text)  # a paragraph above a line meant as a rule
            self._break(0)
        else:
            self._end_section()
            self.heading, *rest = split_text(text, MAX_HEADING)
            self._heading_lines, self._heading_is_due = (block.first, block.last), True
            if block.level == 1:
                self._add_title()
            self._say(block.first, block.last, " ".join(rest))
        self._add_pictures(block.first, block.content)

    def _take_paragraph(self, block: Paragraph) -> None:
        leave_out = self._leaver(block.first, block.last)
        content = block.content
        if (formula := _lone_formula(content)) is not None:
            self._add_equation(block.first, block.last, formula.tex)
            return
        for number, written in enumerate(source_lines(content)):
            if written and isinstance(written[0], Text) and written[0].text.startswith("$$"):
                raise BadMarkdown(block.first + number, "the block is never closed with $$")
        if not has_picture(content):
            self._say(block.first, block.last, shown_text(content, leave_out))
            return
        line = block.first
        for before, picture, after, count in pieces_of_picture_text(content):
            said = shown_text(before, leave_out)
            if picture is None:
                self._say(line, block.last, said)
                continue
            caption = shown_text(picture.content, lambda *_: None)
            if said == caption:
                said = as_sentences([said])
            said = " ".join(filter(None, [said, shown_text(after, leave_out)]))
            line += count
            self._add_picture(line, picture.url, caption, said)

    def _add_pictures(self, line: int, content: Content) -> None:
        """Show the pictures of a heading or a cell, whose words are shown there."""
        for _, picture, _, _ in pieces_of_picture_text(content):
            if picture is not None:
                self._add_picture(line, picture.url, "", "")

    def _add_picture(self, line: int, url: str, caption: str, said: str) -> None:
        name = picture_name(line, url, self._pictures)
        caption = (
            split_text(caption, LONGEST_CAPTION)[0] if caption else ""
        )  # the voice says all of it
        scene = {"type": "picture", "image": name, "caption": caption}
        self._add(Draft(line, line, scene, said))

    def _say(self, first: int, last: int, text: str) -> None:
        if text := " ".join(text.split()):
            self._prose.append(Prose(first, last, text))

    # --- blocks --------------------------------------------------------------------------------

    def _take_list(self, block: ItemList) -> None:
        for is_point, parts in groupby(points(block), key=lambda part: isinstance(part, Point)):
            if is_point:
                lines: list[Line] = []
                for part in parts:
                    assert isinstance(part, Point)
                    text = shown_text(part.content, self._leaver(part.line, part.last))
                    lines += lines_of(part, text)
                for draft in list_drafts("steps" if block.ordered else "bullets", lines):
                    self._add(draft)
            else:
                for part in parts:
                    assert not isinstance(part, Point)
                    self._take(part, quoted=True)

    def _take_quote(self, blocks: Iterable[Block]) -> None:
        label = ""
        for is_text, parts in groupby(
            blocks,
            key=lambda part: (
                isinstance(part, Paragraph | Heading) and not has_picture(part.content)
            ),
        ):
            if not is_text:
                for part in parts:
                    self._take(part, quoted=True)
                continue
            texts: list[Prose] = []
            for part in parts:
                assert isinstance(part, Paragraph | Heading)
                leave_out = self._leaver(part.first, part.last)
                texts.append(Prose(part.first, part.last, shown_text(part.content, leave_out)))
            label, drafts = quote_drafts(texts, label)
            for draft in drafts:
                self._add(draft)

    def _take_code(self, block: CodeBlock) -> None:
        if block.marks and not block.closed:
            raise BadMarkdown(block.first, f"the block is never closed with {block.marks}")
        if block.marks and block.name in BLOCK_PARSERS:
            scene = BLOCK_PARSERS[block.name](block.first, block.text.split("\n"))
            said = scene.pop("narration", "")
            self._add(Draft(block.first, block.last, scene, said))
            return
        if block.marks and block.name == "mermaid":
            raise BadMarkdown(
                block.first,
                "a mermaid drawing cannot be made: write a ```diagram block with lines like"
                " 'a -> b: label', or name the block text to show it as it is written",
            )
        for draft in code_drafts(block, self._leaver(block.first, block.first)):
            self._add(draft)

    def _add_equation(self, first: int, last: int, tex: str) -> None:
        for terms in split_terms(tex):
            self._add(Draft(first, last, {"type": "equation", "terms": terms}, ""))

    # --- scenes --------------------------------------------------------------------------------

    def _break(self, line: int) -> None:
        """Part the scenes above from those below; ``line`` is that of the rule."""
        self._flush_prose()
        self._open, self._rule_line = False, line

    def _end_section(self) -> None:
        self._flush_prose()
        if self._heading_is_due:
            self._add_title()
        self._open = False

    def _flush_prose(self) -> None:
        """Say what was said since the last block with it, or show it where there is none.

        A title card is block enough for its paragraphs in a lesson that shows more than text.
        """
        if not self._prose:
            return
        if self._open and not self._only_words:
            last = self.drafts[-1]
            own = "" if last.says_heading else last.said
            if self._fits(own) and last.fields["type"] != "quiz":  # no answer before its pause
                self.drafts[-1] = last.saying(
                    _joined([own, *self._spoken()]), last=self._prose[-1].last
                )
                self._prose = []
                return
        self._show_prose()

    def _fits(self, own: str) -> bool:
        prose = sum(len(part.text) + 1 for part in self._prose)
        said = sum(len(spoken_line(part.text, self._language)) + 1 for part in self._prose)
        said += len(spoken_line(own, self._language))
        return prose <= _SPOKEN_WITH_A_SCENE and said <= MAX_NARRATION

    def _spoken(self) -> list[str]:
        return [
            spoken_text(p.text, self._leaver(p.first, p.last), self._language) for p in self._prose
        ]

    def _show_prose(self) -> None:
        prose, self._prose = self._prose, []
        for draft in prose_drafts(prose):
            self._add(draft)

    def _add_title(self) -> None:
        first, last = self._heading_lines
        self._add(Draft(first, last, {"type": "title", "title": self.heading}, ""))

    def _add(self, draft: Draft) -> None:
        if self._prose and not self._fits(draft.said):
            self._show_prose()
        kind = draft.fields["type"]
        first, last = draft.first, draft.last
        prose = self._spoken()
        if prose:
            first = min(first, self._prose[0].first)
        self._prose = []
        if self._heading_is_due:
            first = min(first, self._heading_lines[0])
            if kind == "quiz":  # it shows no heading: the voice says it
                prose.insert(0, self._spoken_heading())
        fields = dict(draft.fields)
        if kind not in ("title", "quiz"):
            fields["heading"] = self.heading
        # The whole address is shown.
        own = spoken_text(draft.said, lambda *_: None, self._language)
        if len(own) > MAX_NARRATION:  # it is too long in words
            own = plain_line(draft.said)
        said = _joined([*prose, own])
        only_heading = not said and self._heading_is_due
        if only_heading:
            said = self._spoken_heading()
        self._heading_is_due = False
        self.drafts.append(Draft(first, last, fields, said, only_heading))
        self._open = True

    def _spoken_heading(self) -> str:
        return spoken_line(as_sentences([self.heading]), self._language)


def _joined(texts: list[str]) -> str:
    """One text; each but the last ends like a sentence, so that the voice pauses."""
    said = [text for text in texts if text]
    return " ".join([as_sentences(said[:-1]), *said[-1:]]).strip()


def _lone_formula(content: Content) -> Math | None:
    """The formula that a paragraph consists of, whichever dollar signs it is written with.

    A sign at its end, as in a sentence, is no word: it is neither shown nor said. One in single
    dollar signs that is too long or too wide for a scene is text, as in a sentence.
    """
    match content:
        case (Math(display=True) as formula,):
            return formula
        case (Math() as formula,):
            pass
        case (Math(display=False) as formula, Text(text=text)) if text.strip() in _SIGNS:
            pass
        case _:
            return None
    try:
        split_terms(formula.tex)
    except FormulaError:
        return None
    return formula


def _is_words(block: Block) -> bool:
    """Whether ``block`` is nothing but text, so that only a voice or bullets can tell it."""
    match block:
        case Paragraph(content=content):
            return not has_picture(content) and _lone_formula(content) is None
        case Heading(content=content):
            return not has_picture(content)
        case Footnote(blocks=blocks):
            return all(map(_is_words, blocks))
    return isinstance(block, HtmlBlock | LinkDefinition | FrontMatter | Rule)
