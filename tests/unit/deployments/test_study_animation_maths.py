"""Formulas, plots, diagrams and letters are checked where the quote is made, and then drawn."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.generators.study_animation.lesson_from_markdown import lesson_from_markdown
from deployments.generators.study_animation.spec import StudyRequest
from models.formulas.functions import MAX_VALUE, SAMPLES, Range
from models.formulas.plain_text import formula_text
from models.schemas.drawn_scenes import EquationScene, PlotScene
from models.schemas.lesson import Scene
from models.slides.canvas import Canvas
from models.slides.plotting.expressions import parse_function
from models.slides.render import layout_scene
from models.slides.shapes import MaskSprite
from models.slides.theme import THEMES
from serve_app.http.problems import field_errors

CANVAS = Canvas(640, 360, 8, THEMES["light"], "en")


def refusals(**given: Any) -> list[tuple[str, str]]:
    """(place, message) of each error of a request."""
    with pytest.raises(ValidationError) as refused:
        StudyRequest.model_validate(given)
    errors = field_errors(refused.value.errors(include_url=False, include_input=False))
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in errors]


def script(*scenes: dict[str, Any]) -> dict[str, Any]:
    return {"title": "T", "scenes": [{"type": "title", "title": "T"}, *scenes]}


@pytest.mark.parametrize(
    ("markdown", "line", "reason"),
    [
        ("# A\n\n$$\na + b\n\\foo{x}\n$$", 5, "\\foo is not known"),
        ("# A\n\n$$ \\alhpa $$", 3, "did you mean \\alpha?"),
        ("# A\n\n```math\nx\n\\begin{tikzpicture}\n\\end{tikzpicture}\n```", 5, "diagram scene"),
        ("Some text,\nand $x^2^3$ there.", 2, "use braces"),
        ("- one\n- two $\\frac{a}$\n", 2, "something is missing"),
        ("> quoted $\\foo$", 1, "\\foo is not known"),
        ("| a | b |\n|---|---|\n| 1 | $\\foo$ |", 3, "\\foo is not known"),
        ("# On $\\foo$", 1, "\\foo is not known"),
        ("x[^1]\n\n[^1]: see $\\foo$", 3, "\\foo is not known"),
        ("**bold $\\foo$**", 1, "written \\$"),
        ("$$\n\\newcommand{\\R}{x}\n$$", 2, "definitions are not read"),
        ("$$\n\\left( a \\right.\n+ \\left( b\n$$", 3, "\\left has no \\right"),
        ("$$\n\\ce{H2O + §}\n$$", 2, "'§' is not known in a chemical formula"),
        ("$$\n\\SI{3}{\\foobar}\n$$", 2, "the unit \\foobar is not known"),
        ("# A\n```plot\ny = foo(x)\n```", 3, "'foo(x)' is no function of x"),
        ("# A\n```plot\ny = ln(x)\nx: -5..-1\n```", 2, "ln(x) has no value between -5 and -1"),
        ("# A\n```diagram\na -> b\nb -> b\n```", 4, "an arrow leads from 'b' to itself"),
    ],
)
def test_markdown_names_the_line_and_the_place(markdown: str, line: int, reason: str) -> None:
    [(place, message)] = refusals(markdown=markdown)
    assert place == "markdown"
    assert f"line {line}:" in message and reason in message


@pytest.mark.parametrize(
    ("scene", "place", "reason"),
    [
        ({"type": "equation", "terms": ["a", "= \\foo"]}, "equation.terms.1", "at character 3"),
        ({"type": "equation", "terms": ["\\left( a"]}, "equation.terms.0", "has no \\right"),
        ({"type": "plot", "functions": ["x", "os"]}, "plot.functions.1", "'os' is no function"),
        ({"type": "plot", "functions": ["sqrt(-1-x^2)"]}, "plot", "has no value between"),
        ({"type": "plot", "functions": ["x"], "y_range": [50, 60]}, "plot", "another y range"),
        ({"type": "plot", "points": [{"x": 1, "y": 1}], "x_range": [5, 6]}, "plot", "no point"),
        (
            {"type": "diagram", "nodes": [{"id": "a", "label": "A"}] * 2},
            "diagram",
            "two nodes have the id 'a'",
        ),
        (
            {
                "type": "diagram",
                "nodes": [{"id": "a", "label": "A"}],
                "edges": [{"from": "a", "to": "b"}],
            },
            "diagram",
            "an edge names 'b', which is no node's id: there are a",
        ),
        ({"type": "picture", "image": "x"}, "picture.image", "send it in pictures"),
    ],
)
def test_scripts_name_the_scene_and_the_part(
    scene: dict[str, Any], place: str, reason: str
) -> None:
    [(found, message)] = refusals(lesson=script(scene))
    assert found == f"lesson.scenes.1.{place}"
    assert reason in message


def test_two_wrong_scenes_are_named_at_once() -> None:
    wrong = {"type": "equation", "terms": ["\\foo"]}
    places = [place for place, _ in refusals(lesson={"title": "T", "scenes": [wrong, wrong]})]
    assert places == [f"lesson.scenes.{n}.equation.terms.0" for n in (0, 1)]


def test_a_derivation_in_rows_is_built_up_row_by_row() -> None:
    text = (
        "## Why\n\n$$\n\\begin{aligned}\n(a+b)^2 &= (a+b)(a+b) \\\\\n&= a^2 + b\n\\end{aligned}\n$$"
    )
    [scene] = lesson_from_markdown(text).scenes
    assert isinstance(scene, EquationScene)
    assert scene.terms == ("(a+b)^2 &= (a+b)(a+b)", "\\\\ &= a^2 + b")
    drawing = layout_scene(scene, CANVAS, {})
    assert drawing.beats == 2
    first, second = (e.drawable for e in drawing.entries if e.name.startswith("term"))
    assert isinstance(first, MaskSprite) and isinstance(second, MaskSprite)
    assert second.top > first.top and second.left > first.left  # below, and aligned at the sign


@pytest.mark.parametrize(
    "body",
    [
        "\\begin{align*} x &= 1 \\\\ y &= 2 \\end{align*}",
        "\\left[\\begin{array}{cc|c} 1 & 2 & 3 \\\\ \\hline 4 & 5 & 6 \\end{array}\\right]",
        "\\boxed{x} \\equiv y \\pmod{n} \\tag{1}",
        "\\sum_{\\substack{i<n \\\\ j<m}} {a \\over b} + \\color{red} c",
        "\\ce{2H2 + O2 -> 2H2O} \\quad \\SI{9.8}{m/s^2}",
        "\\begin{gather} a = b \\\\ c = d \\end{gather} % done",
        "a = b \\\\ c = d \\\\ " * 12,
        "a + " * 60 + "b",
    ],
)
def test_what_is_accepted_is_drawn(body: str) -> None:
    for scene in lesson_from_markdown(f"## A\n\n$$\n{body.removesuffix('+ ')}\n$$").scenes:
        assert isinstance(scene, EquationScene)
        assert layout_scene(scene, CANVAS, {}).beats == len(scene.terms)


FUNCTIONS = [
    "x", "1/x", "sqrt(x)", "ln(x)", "ln(-x)", "sqrt(1-x^2)", "1/(1+exp(-1000x))", "x^(1/3)",
    "asin(x)", "0/0", "e^(e^(x^2))", "sqrt(-x^2)", "floor(x)", "sinh(400x)", "max(ln(x), 1)",
    "tan(x)", "(-1)^x", "1/(x-x)", "x^-2", "log2(x+3)", "abs(x)-1000", "sign(x)*50", "1e13",
]  # fmt: skip
RANGES = [None, (-5.0, 5.0), (-3.0, -1.0), (2.0, 4.0), (0.0, 100.0)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_plots_that_are_accepted_are_drawn_and_others_could_not_be(function: str) -> None:
    for x_range, y_range in itertools.product(RANGES, [None, (-1.0, 1.0), (40.0, 60.0)]):
        fields = {"functions": (function,), "x_range": x_range, "y_range": y_range}
        try:
            scene = PlotScene.model_validate(fields)
        except ValidationError:
            assert not _shows(function, x_range or (-10.0, 10.0), y_range)
        else:
            assert layout_scene(scene, CANVAS, {}).beats == 1


def _shows(function: str, x_range: Range, y_range: Range | None) -> bool:
    """Whether two samples of the plot, side by side, are within the ranges."""
    y = parse_function(function)(np.linspace(*x_range, SAMPLES))
    low, high = y_range or (-MAX_VALUE, MAX_VALUE)
    inside = (low < y) & (y < high)
    return bool((inside[1:] & inside[:-1]).any())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([None, (-2.0, 2.0), (3.0, 5.0)]),
    st.sampled_from([None, (-2.0, 2.0), (3.0, 5.0)]),
)
def test_points_that_are_accepted_are_drawn(
    points: list[tuple[float, float]],
    connect: bool,
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float] | None,
) -> None:
    try:
        scene: Scene = PlotScene.model_validate(
            {
                "points": [{"x": x, "y": y} for x, y in points],
                "connect": connect,
                "x_range": x_range,
                "y_range": y_range,
            }
        )
    except ValidationError:
        return
    assert layout_scene(scene, CANVAS, {}).beats == 1


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        ("b^2 - 4ac \\ge 0", "b² − 4ac ≥ 0"),
        ("\\ce{2H2 + O2 ->[\\Delta] 2H2O}", "2 H₂ + O₂ → (Δ) 2 H₂O"),
        ("\\ce{SO4^2-}", "SO₄²⁻"),
        ("\\SI{9.8}{m/s^2}", "9.8 m/s²"),
        ("\\qty{3e8}{\\meter\\per\\second}", "3 × 10⁸ m s⁻¹"),
        ("A \\xrightarrow{f} B", "A → (f) B"),
        ("\\int_{-\\infty}^{\\infty} f", "∫ (−∞ … ∞) f"),
        ("\\sum_{i=1}^n i", "∑ᵢ₌₁ⁿ i"),
        ("x \\tag{1}", "x (1)"),
        ("\\prescript{14}{6}{C}", "₆¹⁴C"),
        ("a = b \\\\ c = d", "a = b; c = d"),
        ("\\sin (x) + \\left(a\\right)", "sin(x) + (a)"),
    ],
)
def test_formulas_in_sentences_are_shown_as_text(tex: str, text: str) -> None:
    assert formula_text(tex) == text


def test_no_narration_has_a_mark_of_latex() -> None:
    textbook = Path(__file__).parents[1] / "models/formulas/textbook.txt"
    sources = [line for line in textbook.read_text().splitlines() if not line.startswith("##")]
    inline = [source for source in sources if "\\\\" not in source and "%" not in source]
    for start in range(0, len(inline), 20):
        part = inline[start : start + 20]
        text = "\n\n".join(f"See ${source.strip()}$ here." for source in part)
        said = " ".join(scene.narration for scene in lesson_from_markdown(text).scenes)
        assert said.count("See") == len(part)
        assert not set("\\$^~&#`_") & set(said), said


def test_letters_that_no_font_has_are_refused_with_their_place() -> None:
    title = {"type": "title", "title": "a \u16a0"}
    [(place, message)] = refusals(lesson={"title": "T", "scenes": [title]})
    assert place == "lesson.scenes.0" and "the title: no font here has 'ᚠ' (U+16A0" in message
    [(place, message)] = refusals(markdown="# A\n\nText.\n\n- one\n- \u16a0\n")
    assert place == "markdown" and "line 3" in message and "U+16A0" in message
    term = {"type": "equation", "terms": ["x", "= \\text{\u16a0}"]}
    [(place, message)] = refusals(lesson=script(term))
    assert place == "lesson.scenes.1" and "the terms" in message


@pytest.mark.parametrize("text", ["$a=b$", "$a=b$.", "\\(a=b\\)", "$a=b$ ,"])
def test_a_formula_that_is_a_paragraph_is_built_up_however_it_is_written(text: str) -> None:
    scene = lesson_from_markdown(f"# T\n\nWe have:\n\n{text}\n\nIt holds.").scenes[-1]
    assert isinstance(scene, EquationScene)
    assert (scene.terms, scene.narration) == (("a", "=b"), "We have: It holds.")


def test_a_formula_beside_words_or_too_wide_for_one_is_no_scene() -> None:
    too_wide = "$" + "a" * 400 + "$"
    for text in ("So $a=b$.", "$a=b$ holds.", "$a$\n$b$", "- $a=b$", too_wide):
        scenes = lesson_from_markdown(f"# T\n\n{text}").scenes
        assert not any(isinstance(scene, EquationScene) for scene in scenes)


def test_formulas_in_the_texts_of_a_script_are_checked_with_their_place() -> None:
    points = {"type": "bullets", "bullets": ["It is \\(x^2\\).", "And \\(\\foo\\)."]}
    [(place, message)] = refusals(lesson=script(points))
    assert place == "lesson.scenes.1" and "\\foo" in message
    points = {"type": "bullets", "bullets": ["It is \\(\\text{\u16a0}\\)."]}
    [(place, message)] = refusals(lesson=script(points))
    assert place == "lesson.scenes.1" and "U+16A0" in message
    code = {"type": "code", "code": "\\(\\foo\\)"}
    assert StudyRequest.model_validate({"lesson": script(code)})


def test_what_is_dropped_before_it_is_set_needs_no_font() -> None:
    title = {"type": "title", "title": "a\u200d b\ufe0f \u2066c\u2069 e\u0301 \U0001f34e"}
    lesson = StudyRequest.model_validate({"lesson": {"title": "T", "scenes": [title]}}).lesson
    assert lesson is not None
    assert layout_scene(lesson.scenes[0], CANVAS, {}).beats >= 0
