"""Batch files as the wild writes them: what is read, and what a bad line is told."""

import json

import pytest

from serve_app.batches.jsonl import read_lines

JOB = '{"generator": "image", "input": {"prompt": "%s"}}'


def prompts(content: bytes) -> list[tuple[int, str]]:
    lines, refused = read_lines(content)
    assert not refused
    return [(line.number, line.body["input"]["prompt"]) for line in lines]


TWO = f"{JOB % 'été'}\n\n{JOB % 'b'}\n"


@pytest.mark.parametrize(
    "content",
    [
        TWO.encode(),
        TWO.encode("utf-8-sig"),
        TWO.replace("\n", "\r\n").encode("utf-8-sig"),
        TWO.encode("utf-16"),  # with a mark
        b"\xfe\xff" + TWO.encode("utf-16-be"),
        TWO.encode("utf-16-le"),
        TWO.replace("\n", "\r\n").encode("utf-16"),
        TWO.encode("utf-32"),
        TWO.replace("\n\n", "\n \t \r\n").encode(),
        TWO.removesuffix("\n").encode(),
    ],
)
def test_every_usual_encoding_and_line_end_is_read(content: bytes) -> None:
    assert prompts(content) == [(1, "été"), (3, "b")]


def test_the_key_of_a_line_does_not_depend_on_the_encoding() -> None:
    plain, _ = read_lines(TWO.encode())
    other, _ = read_lines(TWO.replace("\n", "\r\n").encode("utf-16"))
    assert plain == other


def test_marks_between_joined_files_are_skipped() -> None:
    joined = (JOB % "a" + "\n").encode("utf-8-sig") + (JOB % "b" + "\n").encode("utf-8-sig")
    assert prompts(joined) == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_a_line_ends_at_lf_and_nowhere_inside_a_string(mark: str) -> None:
    text = f"one{mark}two"
    raw = json.dumps({"generator": "image", "input": {"prompt": text}}, ensure_ascii=mark < " ")
    content = f"{raw}\n{JOB % 'b'}".encode()
    assert prompts(content) == [(1, text), (2, "b")]


BAD: dict[str, tuple[bytes, str, str]] = {
    "half an emoji": (rb'{"generator": "image", "input": {"prompt": "a \ud83d"}}',
                      "input.prompt", r"character 3 is \ud83d, half a surrogate pair"),
    "half in a list": (rb'{"generator": "image", "input": {"a": ["b", "\udc00"]}}',
                       "input.a.1", "half a surrogate pair"),
    "half in a key": (rb'{"generator": "image", "input": {"\udc00": 1}}', "input", "a key"),
    "half in bytes": (b'{"generator": "image", "input": {"a": "\xed\xa0\xbd"}}',
                      "input.a", "half a surrogate pair"),
    "latin-1": (b'{"generator": "image", "input": {"prompt": "\xe9t\xe9"}}', "",
                "not UTF-8: byte 45 is 0xE9"),
    "hash": (b"# the first batch", "", "comment"),
    "slashes": (b"  // the first batch", "", "comment"),
    "words": (b"a red circle", "", "not JSON"),
    "single quotes": (b"{'generator': 'image'}", "", "not JSON"),
    "cut off": (b'{"generator": "image", "input": {"prompt": "a', "", "not JSON"),
    "open": (b"{", "", "whole on its line"),
    "two": (b'{"generator": "image", "input": {}} {"a": 1}', "", "more than one value"),
    "carriage return": (b'{"generator": "image", "input": {}}\r{"a": 1}', "", "LF or CRLF"),
    "list": (b'["image"]', "", "not an object"),
    "number": (b"7", "", "not an object"),
    "no input": (b'{"generator": "image"}', "input", "missing"),
    "no generator": (b'{"input": {}}', "generator", "missing"),
    "twice": (b'{"generator": "image", "input": {"a": 1, "a": 2}}', "a", "twice"),
    "nan": (b'{"generator": "image", "input": {"guidance": NaN}}', "", "NaN"),
    "too large": (b'{"generator": "image", "input": {"a": 1e999}}', "input.a", "large"),
    "digits": (b'{"generator": "image", "input": {"a": ' + b"9" * 5000 + b"}}", "", "digits"),
    "deep": (b"[" * 100_000, "", "nested too deep"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_named_with_field_and_reason_and_the_others_go_on(kind: str) -> None:
    raw, field, reason = BAD[kind]
    content = b"\n".join([(JOB % "a").encode(), raw, (JOB % "b").encode()])
    lines, refused = read_lines(content)
    assert [line.number for line in lines] == [1, 3]
    (bad,) = refused
    assert (bad.number, bad.field) == (2, field)
    assert reason in bad.reason


def test_half_an_emoji_of_utf_16_is_refused_by_its_line() -> None:
    text = f"{JOB % chr(0xD83D)}\n{JOB % 'b'}"
    content = b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass")
    lines, refused = read_lines(content)
    assert ([line.number for line in lines], [bad.number for bad in refused]) == ([2], [1])
