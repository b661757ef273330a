"""Direction: the language of the document decides, not the first letter of a line."""

import numpy as np
import pytest

from models.text.sentences import words
from models.typesetting.plain_text import is_rtl, with_direction
from models.typesetting.typeset import Paragraph, typeset


@pytest.mark.parametrize(
    ("text", "language", "rtl"),
    [
        ("NASA שלחה חללית", "he", True),
        ("5,500 מעלות", "he", True),
        ("NASA أطلقت", "ar", True),
        ("iPhone خرید", "fa-IR", True),
        ("NASA", "he", True),
        ("שלום", "en", True),
        ("NASA שלחה", "en", False),
        ("שלום means hello", "en", False),
        ("Hello", "en", False),
        ("2018", "en", False),
        ("ਸਲਾਮ", "pa-Arab", True),
        ("salam", "az-Latn", False),
    ],
)
def test_the_language_decides_on_the_direction(text: str, language: str, rtl: bool) -> None:
    assert is_rtl(text, language) is rtl


def test_a_foreign_line_keeps_its_own_order_in_a_right_to_left_document() -> None:
    assert with_direction("Hello!", True) == "\u2066Hello!\u2069"
    assert with_direction("-5", True) == "\u2066-5\u2069"
    assert with_direction("NASA שלחה", True) == "NASA שלחה"
    assert with_direction("Hello!", False) == "Hello!"


@pytest.mark.parametrize("line", ["NASA שלחה חללית בשנת 2018", "5,500 מעלות (כלומר חם!)"])
def test_a_hebrew_line_that_begins_in_latin_is_set_from_the_right(line: str) -> None:
    in_hebrew, marked, in_english = (
        typeset([Paragraph(text, 24, 500)], language)[0]
        for text, language in ((line, "he"), (f"\u200f{line}", "he"), (line, "en"))
    )
    assert np.array_equal(in_hebrew.mask, marked.mask)
    assert in_hebrew.right > 490
    if line.startswith("NASA"):
        assert in_english.left < 10 and not np.array_equal(in_hebrew.mask, in_english.mask)


def test_code_runs_to_the_right_in_every_language() -> None:
    [code] = typeset([Paragraph("print(1)", 24, 500, mono=True)], "he")
    assert code.left < 10


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("彼は「行くよ。」と", ["彼", "は", "「行", "く", "よ。」", "と"]),
        ("他说：“走吧。”", ["他", "说：", "“走", "吧。”"]),
        ("Say (now) «yes».", ["Say", "(now)", "«yes»."]),
        ("“Wait!” — No. «", ["“Wait!” —", "No. «"]),
    ],
)
def test_brackets_stand_with_the_word_that_they_enclose(text: str, wanted: list[str]) -> None:
    assert [text[a:b].strip() for a, b in words(text)] == wanted
