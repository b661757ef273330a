"""A file inside a request, as the standard libraries of many languages write it."""

import base64
import textwrap
import urllib.parse
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from deployments.contract import BadInput
from deployments.references import ImageInput, decode_data_uri

# 772 bytes: two characters of padding, and every character of the alphabet.
CONTENT = b"\x89PNG" + bytes(range(256)) * 3
PLAIN = base64.b64encode(CONTENT).decode()
HEAD = "data:image/png;base64,"

SPELLINGS: dict[str, str] = {
    "plain": HEAD + PLAIN,
    "lines of 76": HEAD + base64.encodebytes(CONTENT).decode(),
    "lines of 64 that end at CRLF": HEAD + "\r\n".join(textwrap.wrap(PLAIN, 64)) + "\r\n",
    "Ruby's lines of 60": HEAD + "\n".join(textwrap.wrap(PLAIN, 60)) + "\n",
    "carriage returns": HEAD + "\r".join(textwrap.wrap(PLAIN, 76)),
    "final newline": HEAD + PLAIN + "\n",
    "tabs": HEAD + "\t" + "\n\t".join(textwrap.wrap(PLAIN, 76)),
    "no padding": HEAD + PLAIN.rstrip("="),
    "half the padding": HEAD + PLAIN[:-1],
    "URL-safe": HEAD + base64.urlsafe_b64encode(CONTENT).decode(),
    "URL-safe without padding": HEAD + base64.urlsafe_b64encode(CONTENT).decode().rstrip("="),
    "percent-encoded": HEAD + urllib.parse.quote(PLAIN, safe=""),
    "percent-encoded lines": HEAD + urllib.parse.quote(base64.encodebytes(CONTENT)),
    "small percent-encoding": HEAD + PLAIN.replace("+", "%2b").replace("/", "%2f"),
    "capitals": "DATA:IMAGE/PNG;BASE64," + PLAIN,
    "parameters": "data:image/png;name=a.png;charset=utf-8;base64," + PLAIN,
    "quoted comma": 'data:image/png;name="a,b;c.png";base64,' + PLAIN,
    "no media type": "data:;base64," + PLAIN,
    "blanks in the head": "data: image/png ; base64 ," + PLAIN,
    "blank after the comma": "data:image/png;base64, " + PLAIN,
    "blanks around": f"\n  {HEAD}{PLAIN}  \n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_usual_spelling_is_the_same_file(spelling: str) -> None:
    given = ImageInput.model_validate({"data": SPELLINGS[spelling]})
    assert given.data is not None
    assert decode_data_uri(given.data) == CONTENT


@pytest.mark.parametrize("spelled", [base64.b64encode, base64.urlsafe_b64encode])
def test_any_length_is_read_without_padding(spelled: Callable[[bytes], bytes]) -> None:
    for length in range(1, 10):
        content = bytes([250 + length % 6]) * length
        assert decode_data_uri(HEAD + spelled(content).decode().rstrip("=")) == content


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (HEAD + PLAIN[:50] + "!" + PLAIN[50:], "character 73 is U+0021 (!)"),
        (HEAD + PLAIN[:50] + "é", "character 73 is U+00E9"),
        (HEAD + PLAIN[:50] + "\u200b" + PLAIN[50:], "character 73 is U+200B,"),
        (HEAD + PLAIN[:5], "its 5 letters of base64"),
        (HEAD + "abcd efghi", "a + has become a blank"),
        (HEAD + "%%%", "the % at character 23"),
        (HEAD + "QQ==QQ==", "the padding (=) at character 25"),
        (HEAD, "nothing after the comma"),
        (HEAD + " \n", "nothing after the comma"),
        ("data:image/png," + PLAIN, ";base64 is missing before the comma at character 15"),
        ("data:image/png;base64" + PLAIN, "comma"),
        ("data:" + "x" * 100_000, "comma"),
        (HEAD + "a\0bc", "character 24 is U+0000,"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(uri: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        decode_data_uri(uri)
    assert words in refused.value.detail
    assert "data:image/png;base64,..." in refused.value.detail
    assert refused.value.code == "unreadable_data"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": PLAIN}, "A data URI begins with its media type"),
        ({"data": "https://example.com/a.png"}, "put an address into url"),
        ({"url": "example.com/a.png"}, "An address begins with https://"),
        ({"url": HEAD + PLAIN[:100]}, "put a file itself into data"),
    ],
)
def test_what_is_in_the_wrong_field_is_told_the_right_one(
    given: dict[str, str], words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        ImageInput.model_validate(given)
    (error,) = refused.value.errors()
    assert words in error["msg"]
    assert "pattern" not in error["msg"]


def test_an_address_may_have_blanks_around_it_and_capitals() -> None:
    given = ImageInput.model_validate({"url": " HTTPS://example.com/a.png\n"})
    assert given.url == "HTTPS://example.com/a.png"
