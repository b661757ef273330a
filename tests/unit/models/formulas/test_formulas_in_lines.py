r"""Formulas within sentences: ``\(x^2\)`` in a text is set on its line, and stays whole."""

import numpy as np
import pytest

from models.formulas.inline import (
    inline_formula,
    plain_line,
    printed_letters,
    split_formulas,
    spoken_line,
    without_formulas,
)
from models.text.phrases import split_text
from models.typesetting.plain_text import is_rtl
from models.typesetting.typeset import Paragraph, TextMask, typeset
from tests.unit.models.formulas.test_formulas_in_words import TEXTBOOK


def _set(text: str, language: str = "en", width: float | None = 900) -> TextMask:
    return typeset([Paragraph(text, 30, width)], language)[0]


def test_a_formula_is_set_as_mathematics_on_the_line_of_its_sentence() -> None:
    formula, text = _set("The area \\(\\pi r^2\\) is it."), _set("The area πr² is it.")
    assert formula.height == text.height
    assert not np.array_equal(formula.mask, text.mask)
    width = formula.mask.shape[1]
    assert 0.8 * text.mask.shape[1] < width < 1.3 * text.mask.shape[1]


def test_a_fraction_makes_its_line_higher_and_no_other() -> None:
    flat, high = _set("a b"), _set("a \\(\\begin{pmatrix} a \\\\ b \\\\ c \\end{pmatrix}\\) b")
    assert 1.5 * flat.height < high.height < 4 * flat.height
    space = 0.34 * 30  # between two lines
    assert high.top >= -space and high.bottom <= high.height + space


def test_the_limits_of_a_sum_stand_beside_it() -> None:
    line, with_sum = _set("a b"), _set("a \\(\\sum_{i=1}^n i\\) b")
    assert with_sum.height == line.height


def test_a_formula_in_arabic_runs_to_the_right_in_its_place() -> None:
    before, after = _set("طول \\(2r\\)", "ar"), _set("طول", "ar")
    assert before.right == pytest.approx(after.right, abs=2)  # the word stands at the right
    assert before.left < after.left  # the formula at its left
    alone, isolated = _set("\\(a = b\\)", "ar"), _set("\\(a = b\\)", "en")
    assert np.abs(alone.mask.shape[1] - isolated.mask.shape[1]) <= 2
    assert is_rtl("שלום \\(x\\)", "en") and not is_rtl("Hello \\(x\\)", "en")


def test_a_formula_too_wide_for_its_line_is_set_as_text_that_is_broken() -> None:
    wide = _set("\\(\\text{an extremely long label that fills more than one line}\\)", width=200)
    assert wide.right <= 201 and wide.left >= -1


@pytest.mark.parametrize("start", range(0, len(TEXTBOOK), 40))
def test_every_formula_of_the_textbooks_can_stand_in_a_sentence(start: int) -> None:
    texts = [f"See {inline_formula(tex)} here." for tex in TEXTBOOK[start : start + 40]]
    inline = [text for text in texts if len(split_formulas(text)) == 3]
    assert len(inline) > 20
    masks = typeset([Paragraph(text, 20, 1200) for text in texts])
    assert all(mask.mask.any() and mask.right <= 1201 for mask in masks)


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        ("x^2", "\\(x^2\\)"),
        (" a\n= b ", "\\(a = b\\)"),
        ("a = b \\\\ c", "a = b; c"),  # rows are no line
        ("\\foo", "foo"),
        ("x" * 120, "x" * 120),
    ],
)
def test_what_cannot_stand_in_a_line_is_shown_as_text(tex: str, text: str) -> None:
    assert inline_formula(tex).strip() == text


def test_text_that_only_looks_like_a_formula_stays_text() -> None:
    assert split_formulas("\\(\\foo\\) is no command") == ["\\(\\foo\\) is no command"]
    assert split_formulas(without_formulas("re \\(a\\)")) == ["re \\\u2060(a\\)"]
    assert spoken_line(without_formulas("re \\(a\\)"), "en") == "re \\(a\\)"
    code = typeset([Paragraph("\\(a\\)", 20, mono=True), Paragraph("\\(a\\)", 20)])
    assert code[0].mask.shape[1] > 2 * code[1].mask.shape[1]


def test_a_formula_is_not_parted_with_its_sentence() -> None:
    text = "One two, three four \\(a = b, c = d\\) five six. " * 9
    pieces = split_text(text, 60)
    assert len(pieces) > 5 and all(len(piece) <= 60 for piece in pieces)
    assert sum(piece.count("\\(a = b, c = d\\)") for piece in pieces) == 9


def test_titles_have_it_as_text_the_voice_in_words_and_the_fonts_its_letters() -> None:
    text = "The area \\(\\pi r^2\\)"
    assert plain_line(text) == "The area πr²"
    assert spoken_line(text, "en") == "The area pi r squared"
    assert set(printed_letters(text)) == set("The area πr2")
