"""What users write is never markup, code or a path; equations and functions are read, not run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.formulas.errors import FormulaError
from models.formulas.parser import parse_formula
from models.schemas.lesson import Lesson, PictureScene
from models.slides.errors import BadFunction
from models.slides.plotting.expressions import parse_function, sample_curves
from models.typesetting.typeset import Equation, Paragraph, typeset

INJECTIONS = [
    '#read("/etc/passwd")',
    "#(1+1)",
    "$x$ *bold* _it_ `raw` @label <label> = heading\n- list",
    '#import "@preview/cetz:0.2.0"',
    '"] + read("/etc/passwd") + ["',
    "\\u{41} \\# // comment /* */ ~ -- ---",
]


def width(text: str) -> int:
    return typeset([Paragraph(text, 40)])[0].width


@pytest.mark.parametrize("text", INJECTIONS)
def test_markup_is_set_as_it_was_written(text: str) -> None:
    # Were any of it understood, the line would be narrower than its characters one by one.
    letters = [char for char in text if not char.isspace()]
    alone = sum(width(f"{char}|") - width("|") for char in letters)
    assert width("".join(letters)) == pytest.approx(alone, rel=0.06)


def test_a_text_in_an_equation_is_inert_too() -> None:
    inert = parse_formula('\\text{#read("/etc/passwd")}')
    assert inert == ["seq", ["seq", ["text", '#read("/etc/passwd")', 400]]]
    assert typeset([Equation((inert,), 40)])[0].width > 300


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\\input{/etc/passwd}", r"\\input is not known"),
        ("\\write18{ls}", r"\\write is not known"),
        ("#read(1)", "means nothing"),
        ("\\frac{a}{b", "never closed"),
        ("a^", "nothing follows"),
        ("a^b^c", "two powers"),
        ("\\left( a", "no \\\\right"),
        ("\\begin{tikzpicture}\\end{tikzpicture}", "not known"),
        ("{" * 40 + "x" + "}" * 40, "nested"),
        ("}", "closes nothing"),
        ("  ", "empty"),
    ],
)
def test_what_is_no_mathematics_is_refused(source: str, reason: str) -> None:
    with pytest.raises(FormulaError, match=reason):
        parse_formula(source)


def test_plain_and_latex_notation_mean_the_same() -> None:
    same = [
        ("(a+b)/(c-d)", "\\frac{a+b}{c-d}"),
        ("sqrt(x) >= 2", "\\sqrt{x} \\ge 2"),
        ("alpha^2 -> oo", "\\alpha^2 \\to \\infty"),
        ("√2", "\\sqrt2"),
        ("abs(x)", "\\left|x\\right|"),
    ]
    for plain, latex in same:
        a, b = typeset(
            [Equation((parse_formula(plain),), 40), Equation((parse_formula(latex),), 40)]
        )
        assert np.array_equal(a.mask, b.mask), plain


def test_the_typesetter_knows_every_kind_of_formula() -> None:
    sources = [
        "\\frac{a}{b} \\binom{n}{k} \\sqrt{x} \\sqrt[3]{x} x_1^2 x' \\sum_{i=1}^n \\int_0^1",
        "\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix} \\begin{cases} 1 & x \\\\ 0 \\end{cases}",
        "\\vec{v} \\hat{x} \\overline{AB} \\underbrace{a+b}_{c} \\cancel{x} \\mathbb{R}",
        "\\left( \\frac12 \\right] \\lim_{x \\to 0} \\sin x \\quad \\text{if } x",
        "f(x)/g(x) [0, 1) 3.14 \\mathrm{d}x \\operatorname{foo} \\mathbf{v} 中文 ≤",
        "\\overbrace{x}^{n}",
    ]
    assert all(
        ink.mask.any() for ink in typeset([Equation((parse_formula(s),), 30) for s in sources])
    )


def test_hidden_terms_leave_the_shown_one_where_it_is() -> None:
    terms = tuple(parse_formula(part) for part in ("a^2", "+ b^2", "= \\frac{c}{d}"))
    whole, *parts = typeset(
        [Equation(terms, 60), *(Equation(terms, 60, shown) for shown in range(3))]
    )
    together = np.zeros_like(whole.mask)
    for part in parts:
        y, x = part.top - whole.top, part.left - whole.left
        together[y : y + part.mask.shape[0], x : x + part.mask.shape[1]] |= part.mask
    assert np.abs(together.astype(int) - whole.mask).max() <= 2


_PIECES = [*"ab12+-*/^_'(){}[]|\\ &,.=<>#$\"", "\\frac", "\\left(", "\\right)", "\\sqrt", "sin"]
_maths = st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)


@settings(max_examples=150, deadline=None)
@given(_maths)
def test_any_string_is_a_formula_or_refused(source: str) -> None:
    try:
        tree = parse_formula(source[:300])
    except FormulaError:
        return
    typeset([Equation((tree,), 20)])


def test_functions_mean_what_mathematics_means() -> None:
    x = np.array([-2.0, 0.5, 3.0])
    values = {
        "2x^2 - 1": 2 * x**2 - 1,
        "-x^2": -(x**2),
        "2^-x": 2**-x,
        "y = |x| + 1": np.abs(x) + 1,
        "f(x) = 3sin(x)x": 3 * np.sin(x) * x,
        "sin x / x": np.sin(x) / x,
        "max(x, 1, min(x, -1))": np.maximum(x, 1),
        "x(x+1)(x-1)": x * (x + 1) * (x - 1),
        "e^x * pi": np.exp(x) * np.pi,
        "cbrt(x) - x^(1/3)": 0 * x,
        "x**2 ÷ 2 × 2": x**2,
    }
    for source, expected in values.items():
        assert np.allclose(parse_function(source)(x), expected), source


@pytest.mark.parametrize(
    "source",
    ["__import__('os')", "x.__class__", "lambda: 1", "y", "sin(", "x +", "2 $ x", "(" * 90 + "x"],
)
def test_what_is_no_function_is_refused(source: str) -> None:
    with pytest.raises(BadFunction):
        parse_function(source)


def test_curves_end_at_poles_and_jumps_and_where_they_are_not_defined() -> None:
    assert len(sample_curves(parse_function("1/x"), -5, 5)) == 2
    assert len(sample_curves(parse_function("tan(x)"), -6, 6)) == 5
    assert len(sample_curves(parse_function("floor(x)"), 0.5, 3.5)) == 4
    assert len(sample_curves(parse_function("100x^3 + sin(40x)"), -5, 5)) == 1
    ((x, _),) = sample_curves(parse_function("sqrt(x)"), -4, 4)
    assert x[0] == pytest.approx(0, abs=0.01)
    with pytest.raises(BadFunction, match="no value between"):
        sample_curves(parse_function("ln(x)"), -5, -1)


def test_names_of_pictures_are_no_paths() -> None:
    for name in ("../secret", "/etc/passwd", "a/b", ""):
        with pytest.raises(ValidationError):
            PictureScene(image=name)


def test_a_script_survives_the_way_to_json_and_back() -> None:
    scenes = [
        {"type": "plot", "functions": ["x"]},
        {"type": "diagram", "nodes": [{"id": "a", "label": "A"}], "edges": []},
        {"type": "quiz", "question": "?", "choices": ["a", "b"], "answer": 0},
    ]
    lesson = Lesson.model_validate({"title": "T", "scenes": scenes})
    assert Lesson.model_validate_json(lesson.model_dump_json(by_alias=True)) == lesson
    scenes[2]["answer"] = 2
    with pytest.raises(ValidationError, match="choices are 0 to 1"):
        Lesson.model_validate({"title": "T", "scenes": scenes})
