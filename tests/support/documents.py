"""Arbitrary Markdown documents, each word of which is unique and so can be followed."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator

from hypothesis import strategies as st

TOKEN = re.compile(r"wq[a-z]{4}")
PICTURE = "pic.png"
_SENTENCE_ENDS = (". ", ", ", " ", " ", " ", "; ", "? ", ": ")


def tokens() -> Iterator[str]:
    """wqaaaa, wqaaab and so on."""
    for letters in itertools.product(string.ascii_lowercase, repeat=4):
        yield "wq" + "".join(letters)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document of up to eight blocks."""
    head = draw(st.sampled_from(["", "", "\ufeff", "---\nmarp: true\ntitle: @ @\n---\n\n"]))
    blocks = draw(st.lists(_blocks, min_size=1, max_size=8))
    text = head + "\n\n".join(blocks) + "\n"
    for mark, definition in (("[r]", "[r]: https://example.org/@"), ("[^1]", "[^1]: @ *@*.")):
        if mark in text and f"\n{mark}:" not in text:  # else the brackets would be text
            text += f"\n{definition}\n"
    words = tokens()
    text = re.sub("@", lambda _: next(words), text)
    return text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])))


_words = st.integers(1, 30).map(lambda count: " ".join(["@"] * count))
_inline = st.sampled_from(
    [
        "@",
        "@ @ @",
        "**@ @**",
        "*@*",
        "_@ @_",
        "~~@~~",
        "`@`",
        "[@ @](https://example.org/@)",
        '[@](https://example.org/@ "@")',
        "[**@** @][r]",
        "$x_1^2 = \\text{@}$",
        "$\\frac{1}{2}$ @",
        "\\*@ \\$5",
        "&times; @",
        "@ <!-- @ @ --> @",
        "<b>@</b>",
        "@[^1]",
        "***@***",
        "@'s",
        "@  \n@",
    ]
)


@st.composite
def _text(draw: st.DrawFn, most: int = 8) -> str:
    pieces = draw(st.lists(_inline, min_size=1, max_size=most))
    text = pieces[0]
    for piece in pieces[1:]:
        text += draw(st.sampled_from(_SENTENCE_ENDS)) + piece
    return text + draw(st.sampled_from([".", "", "!"]))


_line = _text(4).map(lambda text: text.replace("  \n", " "))
_long = st.integers(1, 130).map(
    lambda count: " ".join("@." if n % 11 == 10 else "@" for n in range(count))
)
_paragraph = st.one_of(_text(), _text(), _long, _words)
_heading = st.one_of(
    st.tuples(st.integers(1, 4), _line).map(lambda part: f"{'#' * part[0]} {part[1]}"),
    st.tuples(st.sampled_from("=-"), _line).map(lambda part: f"{part[1]}\n{part[0] * 4}"),
    st.integers(20, 60).map(lambda count: "## " + " ".join(["@"] * count)),
)


def _indented(text: str, by: str) -> str:
    return "\n".join(by + line if line else line for line in text.split("\n"))


@st.composite
def _list(draw: st.DrawFn, depth: int = 0) -> str:
    ordered = draw(st.booleans())
    between = draw(st.sampled_from(["\n", "\n\n"]))
    start = draw(st.integers(1, 20)) if depth == 0 else 1  # others do not end a paragraph
    items = []
    for number in range(draw(st.integers(1, 9 if depth == 0 else 3))):
        mark = f"{start + number}. " if ordered else "- "
        box = draw(st.sampled_from(["", "", "", "[ ] ", "[x] "]))
        body = box + draw(st.one_of(_line, _line, _words, _long if depth == 0 else _line))
        if depth < 2 and draw(st.integers(0, 4)) == 0:
            body += between + draw(_list(depth + 1))
        if draw(st.integers(0, 9)) == 0:
            body += "\n\n" + draw(st.one_of(_line, st.just("```\n@ = @\n```")))
        items.append(mark + _indented(body, " " * len(mark)).lstrip())
    return between.join(items)


@st.composite
def _table(draw: st.DrawFn) -> str:
    columns = draw(st.integers(1, 7))
    cell = st.sampled_from(["@", "@ @", "**@**", "`@`", "", "@ " * 12, "[@](https://e.org/@)"])
    rows = draw(st.lists(st.lists(cell, min_size=columns, max_size=columns), max_size=9))
    header = draw(
        st.lists(st.sampled_from(["@", "@ @", "*@*"]), min_size=columns, max_size=columns)
    )
    lines = ["|".join(["", *row, ""]) for row in (header, ["---"] * columns, *rows)]
    return "\n".join(lines)


_picture = st.sampled_from(
    [
        f"![@ @]({PICTURE})",
        f"@ @ ![@](img/{PICTURE}) @.",
        f'[![@](./{PICTURE} "@")](https://example.org/@)',
        f"@\n![@ @]({PICTURE})\n@ @.",
        f"![@]({PICTURE}) @ ![@]({PICTURE})",
    ]
)
_code = st.sampled_from(
    [
        "```python\nfor @ in @:\n    print(@)\n\n@ = '*'\n```",
        "~~~\n# @\n**@**\n~~~",
        '```js title="@"\n@();\n```',
        "    @ = @\n\n    @",
        "```text\n" + "@ @ @\n" * 40 + "```",
    ]
)
_blocks: st.SearchStrategy[str] = st.one_of(
    _heading,
    _heading,
    _paragraph,
    _paragraph,
    _list(),
    _list(),
    _table(),
    _picture,
    _code,
    st.lists(_paragraph, min_size=1, max_size=4).map(
        lambda parts: "\n".join(f"> {line}" for line in "\n\n".join(parts).split("\n"))
    ),
    st.tuples(st.sampled_from(["NOTE", "TIP"]), _line).map(lambda p: f"> [!{p[0]}]\n> {p[1]}"),
    st.just("---"),
    st.just("***"),
    st.just("<!-- @ @\n\n@ -->"),
    st.just("$$ a + \\text{@} = \\text{@} $$"),
    st.just("```math\n\\text{@} = 1\n```"),
    st.just("[r]: https://example.org/@"),
    st.just("[^1]: @ *@*."),
    st.just("<div>\n@ <i>@</i>\n</div>"),
    st.just("```quiz\n@ @?\n- [x] @\n- @\n```"),
    st.just("```diagram\na: @\nb: @\na -> b: @\n```"),
)
