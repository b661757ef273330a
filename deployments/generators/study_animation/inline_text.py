"""The text of a lesson's paragraphs, headings and points: as it is shown, and as it is said.

Marks are not text: tags, comments, addresses and marks of footnotes go to ``left_out``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

from models.formulas.inline import inline_formula, spoken_line, without_formulas
from models.text.document import (
    Code,
    Content,
    FootnoteMark,
    Html,
    LineBreak,
    Link,
    Math,
    Picture,
    Styled,
    Text,
)

LeaveOut = Callable[[str, str], None]  # (text, reason)

COMMENT, TAG, ADDRESS = "comment", "HTML tag", "address of a link"
PICTURE_NAME, PICTURE_TITLE = "name of a picture", "title of a picture"
LINK_TITLE, SCRIPT = "title of a link", "HTML that is no text"

_ADDRESS = re.compile(r"\b(?:https?://|mailto:)([^\s/?#]+)([^\s]*?)(?=[.,;:!?)\]]*(?:\s|$))")
_UNREAD = frozenset({"script", "style", "template", "svg", "math", "iframe", "object"})


def shown_text(content: Content, leave_out: LeaveOut) -> str:
    """Return the text of ``content`` on one line; what is no text is handed to ``leave_out``."""
    return " ".join("".join(_pieces(content, leave_out)).split())


def spoken_text(text: str, leave_out: LeaveOut, language: str) -> str:
    """Return ``text`` as the voice says it: of an address it names the host, of formulas the words
    in ``language``."""

    def host(found: re.Match[str]) -> str:
        if found.group(2).strip("/"):
            leave_out(found.group(), ADDRESS + ", of which the voice names the host")
        return found.group(1)

    return _ADDRESS.sub(host, spoken_line(text, language)).replace("^(", " (")


def html_text(html: str, leave_out: LeaveOut) -> str:
    """Return the text of a block of HTML; ``leave_out`` gets tags, comments and scripts."""
    reader = _HtmlReader(leave_out)
    reader.feed(html)
    reader.close()
    return " ".join("".join(reader.text).split())


def _pieces(content: Content, leave_out: LeaveOut) -> Iterator[str]:
    for part in content:
        match part:
            case Text(text=text) | Code(text=text):
                yield without_formulas(text)
            case Styled(content=inner):
                yield from _pieces(inner, leave_out)
            case Link(url=url, title=title, content=inner):
                text = "".join(_pieces(inner, leave_out))
                yield text
                if url.removeprefix("mailto:") != text.strip():
                    leave_out(url, ADDRESS)
                leave_out(title, LINK_TITLE)
            case Picture(url=url, title=title, content=inner):
                yield from _pieces(inner, leave_out)
                leave_out(url, PICTURE_NAME)
                leave_out(title, PICTURE_TITLE)
            case Math(tex=tex):
                yield inline_formula(tex)
            case LineBreak():
                yield " "
            case FootnoteMark(label=label):
                leave_out(f"[^{label}]", "mark of a footnote")
            case Html(text=text):
                leave_out(text, COMMENT if text.startswith("<!") else TAG)


class _HtmlReader(HTMLParser):
    def __init__(self, leave_out: LeaveOut) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self._leave_out = leave_out
        self._unread: list[str] = []

    def handle_data(self, data: str) -> None:
        if self._unread:
            self._leave_out(data, SCRIPT)
        else:
            self.text.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._leave_out(self.get_starttag_text() or f"<{tag}>", TAG)
        self.text.append(" ")
        if tag in _UNREAD:
            self._unread.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._leave_out(self.get_starttag_text() or f"<{tag}/>", TAG)
        self.text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._leave_out(f"</{tag}>", TAG)
        self.text.append(" ")
        if self._unread and self._unread[-1] == tag:
            self._unread.pop()

    def handle_comment(self, data: str) -> None:
        self._leave_out(data, COMMENT)

    def handle_decl(self, decl: str) -> None:
        self._leave_out(decl, TAG)

    def handle_pi(self, data: str) -> None:
        self._leave_out(data, TAG)

    def unknown_decl(self, data: str) -> None:
        self._leave_out(data, TAG)
