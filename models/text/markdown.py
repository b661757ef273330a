"""Parse Markdown into a :class:`~models.text.document.Document`.

The dialect is CommonMark with tables, ``~~strikethrough~~``, check boxes, footnotes, front matter,
formulas (``$x$``, ``$$x$$``, a fence called ``math``) and ``•`` as a list marker, as word
processors copy it. The parser executes nothing and follows no link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from markdown_it.token import Token

from models.text.document import (
    Block,
    Code,
    CodeBlock,
    Content,
    Document,
    Footnote,
    FootnoteMark,
    FrontMatter,
    Heading,
    Html,
    HtmlBlock,
    Inline,
    ItemList,
    LineBreak,
    Link,
    LinkDefinition,
    ListItem,
    Math,
    MathBlock,
    Paragraph,
    Picture,
    Quote,
    Rule,
    Styled,
    Table,
    TableRow,
    Text,
    source_lines,
)
from models.text.markdown_rules import parser

_parser = parser(indented_code=True)
_prose_parser = parser(indented_code=False)

_STYLES = {"em_open": "emphasis", "strong_open": "strong", "s_open": "strikethrough"}
_NEW_LINE = re.compile(r"<br\s*/?>", re.IGNORECASE)
_DOT = "•"
_KEY = re.compile(r"[\w.-]+[ \t]*:(?:\s|$)")
_YAML = re.compile(r"[\w.-]+[ \t]*:(?:\s|$)|\s|-\s|#|$")


def read(text: str, *, indented_code: bool = True) -> Document:
    """Parse ``text``; it skips a byte order mark and accepts LF, CR LF and CR.

    Without ``indented_code`` lines that are indented by four spaces are normal text: people indent
    the paragraphs of a story.
    """
    lines = re.split(r"\r\n?|\n", text.removeprefix("\ufeff"))
    blocks: list[Block] = []
    if matter := _front_matter(lines):
        blocks.append(FrontMatter(1, matter, "\n".join(lines[1 : matter - 1])))
        lines[:matter] = [""] * matter  # the lines below keep their numbers
    tokens = (_parser if indented_code else _prose_parser).parse("\n".join(lines), {})
    return Document((*blocks, *_blocks(iter(tokens))))


def line_content(line: str) -> Content:
    """Parse one line; block markers stay in the text."""
    return _content(_parser.parseInline(line, {})[0].children or [])


def _front_matter(lines: list[str]) -> int:
    """Count the lines of the front matter: settings between two lines of dashes.

    A line of dashes above other text is a rule.
    """
    if lines[0].rstrip() != "---" or len(lines) < 3 or not _KEY.match(lines[1]):
        return 0
    for number, line in enumerate(lines[1:], start=2):
        if line.rstrip() in ("---", "..."):
            return number
        if not _YAML.match(line):
            return 0
    return 0


# --- blocks ------------------------------------------------------------------------------------


def _blocks(tokens: Iterator[Token], until: str = "") -> tuple[Block, ...]:
    """Parse blocks up to the token ``until`` and consume that token."""
    blocks: list[Block] = []
    for token in tokens:
        if token.type == until:
            break
        for block in _block(token, tokens):
            before = blocks[-1] if blocks else None
            if _dotted(block) and _dotted(before):
                assert isinstance(block, ItemList) and isinstance(before, ItemList)
                blocks[-1] = replace(before, last=block.last, items=before.items + block.items)
            else:
                blocks.append(block)
    return tuple(blocks)


def _dotted(block: Block | None) -> bool:
    return isinstance(block, ItemList) and block.items[0].mark == _DOT


def _block(token: Token, tokens: Iterator[Token]) -> Iterable[Block]:
    first, last = _lines(token)
    match token.type:
        case "heading_open":
            content = _inside(tokens, "heading_close")
            underlined = not token.markup.startswith("#")
            return [Heading(first, last, int(token.tag[1:]), content, underlined)]
        case "paragraph_open":
            return _paragraph(Paragraph(first, last, _inside(tokens, "paragraph_close")))
        case "bullet_list_open" | "ordered_list_open":
            items = tuple(_items(tokens, token.type.replace("open", "close")))
            return [ItemList(first, items[-1].last, token.type == "ordered_list_open", items)]
        case "blockquote_open":
            return [Quote(first, last, _blocks(tokens, "blockquote_close"))]
        case "footnote_reference_open":
            inner = _blocks(tokens, "footnote_reference_close")
            return [Footnote(first, _end(inner, first), token.meta["label"], inner)]
        case "table_open":
            header, *rows = _rows(tokens)
            return [Table(first, last, header, tuple(rows))]
        case "fence":
            # Each line within ends with a line feed, unless it is the last of the text.
            text = token.content
            within = text.count("\n") + (text != "" and not text.endswith("\n"))
            return [_fence(token, first, last, closed=last - first > within)]
        case "code_block":
            return [CodeBlock(first, last, "", token.content)]
        case "math_block":
            return [MathBlock(first, last, token.content.strip())]
        case "hr":
            return [Rule(first, last)]
        case "html_block":
            return [HtmlBlock(first, last, token.content)]
        case "definition":
            meta = token.meta
            return [LinkDefinition(first, last, meta["label"], meta["url"], meta["title"])]
        case _:
            raise AssertionError(f"no rule of the parser makes {token.type}")


def _lines(token: Token) -> tuple[int, int]:
    first, end = token.map or (0, 0)
    return first + 1, max(first + 1, end)


def _end(blocks: tuple[Block, ...], first: int) -> int:
    """Return the last line of a container; the parser counts the blank lines below it."""
    return blocks[-1].last if blocks else first


def _fence(token: Token, first: int, last: int, *, closed: bool) -> Block:
    block = CodeBlock(first, last, token.info.strip(), token.content, token.markup, closed)
    return MathBlock(first, last, token.content.strip()) if block.name == "math" else block


def _items(tokens: Iterator[Token], until: str) -> Iterator[ListItem]:
    for token in tokens:
        if token.type == until:
            return
        first, _ = _lines(token)
        number = int(token.info) if token.info else None
        blocks = _blocks(tokens, "list_item_close")
        checked = token.meta.get("checked")
        mark = token.info + token.markup
        yield ListItem(first, _end(blocks, first), mark, number, checked, blocks)


def _rows(tokens: Iterator[Token]) -> Iterator[TableRow]:
    for token in tokens:
        if token.type == "table_close":
            return
        if token.type == "tr_open":
            first, last = _lines(token)
            cells = []
            for inner in tokens:
                if inner.type == "tr_close":
                    break
                if inner.type == "inline":
                    cells.append(_content(inner.children or []))
            yield TableRow(first, last, tuple(cells))


def _paragraph(paragraph: Paragraph) -> Iterator[Block]:
    """Yield the paragraph; lines that begin with a dot become a list."""
    lines = source_lines(paragraph.content)
    if not any(map(_begins_with_dot, lines)):
        yield paragraph
        return
    start = 0
    items: list[ListItem] = []
    for end in range(1, len(lines) + 1):
        if end < len(lines) and not _begins_with_dot(lines[end]):
            continue
        first, last = paragraph.first + start, paragraph.first + end - 1
        content = tuple(_joined(lines[start:end]))
        if _begins_with_dot(content):
            content = (Text(content[0].text[1:].lstrip()), *content[1:])  # type: ignore[union-attr]
            block = Paragraph(first, last, content)
            items.append(ListItem(first, last, _DOT, None, None, (block,)))
        else:
            yield Paragraph(first, last, content)
        start = end
    yield ItemList(items[0].first, items[-1].last, False, tuple(items))


def _begins_with_dot(line: Content) -> bool:
    return bool(line) and isinstance(line[0], Text) and line[0].text.startswith(f"{_DOT} ")


def _joined(lines: list[Content]) -> Iterator[Inline]:
    for number, line in enumerate(lines):
        if number:
            yield LineBreak(hard=False)
        yield from line


# --- text within a block -----------------------------------------------------------------------


def _inside(tokens: Iterator[Token], until: str) -> Content:
    content: Content = ()
    for token in tokens:
        if token.type == until:
            break
        content = _content(token.children or [])
    return content


def _content(children: list[Token]) -> Content:
    return tuple(_inline(iter(children)))


def _inline(tokens: Iterator[Token], until: str = "") -> Iterator[Inline]:
    for token in tokens:
        kind = token.type
        if kind == until:
            return
        if kind in _STYLES:
            content = tuple(_inline(tokens, kind.replace("open", "close")))
            yield Styled(_STYLES[kind], content)  # type: ignore[arg-type]
        elif kind == "link_open":
            content = tuple(_inline(tokens, "link_close"))
            yield Link(str(token.attrs["href"]), str(token.attrs.get("title", "")), content)
        elif kind == "image":
            content = _content(token.children or [])
            yield Picture(str(token.attrs["src"]), str(token.attrs.get("title", "")), content)
        elif kind == "code_inline":
            yield Code(token.content)
        elif kind in ("math_inline", "math_inline_double"):
            yield Math(token.content, kind == "math_inline_double")
        elif kind in ("softbreak", "hardbreak"):
            yield LineBreak(kind == "hardbreak")
        elif kind == "footnote_ref":
            yield FootnoteMark(token.meta["label"])
        elif kind == "html_inline":
            new_line = _NEW_LINE.fullmatch(token.content)
            yield LineBreak(hard=True) if new_line else Html(token.content)
        elif token.content:
            yield Text(token.content)
