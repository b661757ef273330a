"""Configure the Markdown parser: CommonMark, tables, strikethrough, check boxes, footnotes,
formulas.

Parsing takes time linear in the text's length for any input: the rules limit nesting depth and
table cells, and search for a formula's end only once.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.rules_block.table import escapedSplit, getLine
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.dollarmath.index import math_block_dollar, math_inline_dollar
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.footnote.index import footnote_def

BlockRule = Callable[[StateBlock, int, int, bool], bool]

_NESTING = 20  # levels of markdown-it; an item of a list is two
# markdown-it drops what is nested deeper in silence: from here on, marks of containers are text.
_CONTAINERS = _NESTING - 4
# Short rows are filled up with empty cells: a document has so many cells, further rows are text.
_CELLS = 20_000
_FORMULA = re.compile(r"[\\^_=+<>{}]")
_YEAR = re.compile(r"\d{4,9}[.)]")

_ENDS_PARAGRAPH = ["paragraph", "reference", "blockquote"]


class _Parser(MarkdownIt):
    """A parser that keeps every link address as written."""

    def validateLink(self, url: str) -> bool:  # noqa: N802
        return True

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        return link


def parser(*, indented_code: bool) -> MarkdownIt:
    """Create a stateless parser, which threads may share."""
    md = _Parser(
        "commonmark",
        {"maxNesting": _NESTING, "tasklists": True, "inline_definitions": True},
    )
    md.enable(["table", "strikethrough"])
    if not indented_code:
        md.disable("code")
    md.use(footnote_plugin, inline=False, move_to_end=False)
    md.use(dollarmath_plugin)
    md.inline.ruler.at("math_inline", _math_inline)
    md.inline.ruler.before("escape", "math_brackets", _math_brackets)
    md.block.ruler.at("math_block", _math_block, {"alt": [*_ENDS_PARAGRAPH, "list"]})
    md.block.ruler.at("blockquote", _to_a_depth(blockquote), {"alt": [*_ENDS_PARAGRAPH, "list"]})
    md.block.ruler.at("list", _to_a_depth(_list), {"alt": _ENDS_PARAGRAPH})
    md.block.ruler.at("footnote_def", _to_a_depth(footnote_def), {"alt": _ENDS_PARAGRAPH[:2]})
    md.block.ruler.at("table", _table, {"alt": _ENDS_PARAGRAPH[:2]})
    return md


def _to_a_depth(rule: BlockRule) -> BlockRule:
    def limited(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        return state.level < _CONTAINERS and rule(state, start, end, silent)

    return limited


def _list(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Apply CommonMark's lists, except that "1987. A cold winter." is a sentence."""
    if _YEAR.match(state.src, state.bMarks[start] + state.tShift[start]):
        return False
    return list_block(state, start, end, silent)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Apply GitHub's tables, but append cells beyond the last column to that column."""
    columns = state.src.count("|", state.bMarks[start], state.eMarks[start]) + 1
    used = state.env.get("cells", 0)
    rows = (_CELLS - used) // columns
    count = len(state.tokens)
    if rows < 1 or not table(state, start, min(end, start + 2 + rows), silent):
        return False
    if silent:
        return True
    state.env["cells"] = used + columns * (state.line - start)
    cells: list[Token] = []
    for token in state.tokens[count:]:
        if token.type == "tr_open":
            cells = []
        elif token.type == "inline":
            cells.append(token)
        elif token.type == "tr_close" and cells[0].map:
            written = [
                cell.strip() for cell in escapedSplit(getLine(state, cells[0].map[0]).strip())
            ]
            begin = int(written[0] == "")
            beyond = [cell for cell in written[begin + len(cells) :] if cell]
            cells[-1].content = " ".join([cells[-1].content, *beyond])
    return True


# As Pandoc has it: no space inside the dollar signs, no digit behind the closing one, and as GitHub
# has it: no letter or digit before the opening one; so "$5 and US$6" stay prices.
_inline_dollar = math_inline_dollar(allow_space=False, allow_digits=False, allow_double=True)
_block_dollar = math_block_dollar(allow_labels=False, allow_blank_lines=True)


def _math_inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "$":
        return False
    if state.pos > 0:
        before = state.src[state.pos - 1]
        return not (before.isascii() and before.isalnum()) and _inline_dollar(state, silent)
    # The plugin looks at the character before the dollar sign, at the beginning at the last one.
    text = state.src
    state.src = f"{text} "
    try:
        return _inline_dollar(state, silent)
    finally:
        state.src = text


def _math_brackets(state: StateInline, silent: bool) -> bool:
    r"""Apply LaTeX's own marks of formulas: ``\(x\)``, and ``\[x\]`` where it is a paragraph.

    Elsewhere ``\[`` is a bracket that some program has escaped.
    """
    start, text = state.pos, state.src
    mark = text[start : start + 2]
    if mark not in ("\\(", "\\["):
        return False
    closing = "\\)" if mark == "\\(" else "\\]"
    searched, vain = state.env.get("brackets_unclosed", ("", frozenset()))
    if searched is text and mark in vain:
        return False
    end = text.find(closing, start + 2)
    if end < 0:  # nor is there one further on
        marks = {mark, *(vain if searched is text else ())}
        state.env["brackets_unclosed"] = (text, frozenset(marks))
        return False
    tex = text[start + 2 : end]
    whole = start == 0 and end + 2 == len(text.rstrip())
    if not tex.strip() or (mark == "\\[" and not (whole and _FORMULA.search(tex))):
        return False
    if not silent:
        token = state.push("math_inline" if mark == "\\(" else "math_inline_double", "math", 0)
        token.content, token.markup = tex.strip(), mark
    state.pos = end + 2
    return True


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Apply the plugin's rule, and also end a paragraph (``silent``).

    The rule does not repeat a search for closing dollar signs that failed before.
    """
    if not state.src.startswith("$$", state.bMarks[start] + state.tShift[start]):
        return False
    vain_from, vain_to = state.env.get("math_unclosed", (len(state.eMarks), 0))
    one_line = state.src[state.bMarks[start] : state.eMarks[start]].strip()
    closes = len(one_line) > 3 and one_line.endswith("$$")
    if not closes and start >= vain_from and end <= vain_to:
        return False
    line, count = state.line, len(state.tokens)
    matched = _block_dollar(state, start, end, False)
    if matched and silent:
        del state.tokens[count:]
        state.line = line
    elif not matched:
        state.env["math_unclosed"] = (start, end)
    return matched
