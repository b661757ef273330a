"""What the parser accepts, the typesetter sets; measured on 315 formulas as textbooks have them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.formulas import symbols
from models.formulas.commands import known_commands
from models.formulas.errors import FormulaError
from models.formulas.parser import parse_formula
from models.formulas.terms import MAX_TERMS, NEW_ROW, split_terms
from models.formulas.tree import Formula, formula_texts
from models.text.glyphs import require_glyphs
from models.typesetting.typeset import Equation, typeset

TEXTBOOK = Path(__file__).with_name("textbook.txt")
GOAL = 0.98


def textbook() -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    for line in TEXTBOOK.read_text("utf-8").splitlines():
        if line.startswith("## "):
            parts[line[3:]] = []
        else:
            parts[list(parts)[-1]].append(line)
    return parts


def count_set(trees: list[Formula]) -> int:
    return sum(bool(mask.mask.any()) for mask in typeset([Equation((t,), 20) for t in trees]))


@pytest.mark.parametrize("part", textbook())
def test_textbook_formulas_are_set(part: str) -> None:
    sources, trees = textbook()[part], []
    for source in sources:
        try:
            tree = parse_formula(source)
            require_glyphs(formula_texts(tree), source)
            trees.append(tree)
        except FormulaError as error:
            print(f"{source}: {error}")
    done = count_set(trees)
    print(f"{part}: {done} of {len(sources)} formulas are set ({done / len(sources):.1%})")
    assert done >= GOAL * len(sources)


def test_there_are_three_hundred_different_ones() -> None:
    every = [source for part in textbook().values() for source in part]
    assert len(set(every)) == len(every) >= 300


def test_every_symbol_leaves_ink() -> None:
    tables = (symbols.GREEK, symbols.SYMBOLS, symbols.LARGE, symbols.NEGATED, symbols.ARROWS)
    require_glyphs("".join(sign for table in tables for sign in table.values()), "a symbol")
    names = [*symbols.GREEK, *symbols.SYMBOLS, *symbols.LARGE]
    masks = typeset([Equation((parse_formula(f"\\{name}"),), 20) for name in names])
    assert [n for n, mask in zip(names, masks, strict=True) if not mask.mask.any()] == []


def test_every_command_is_set_or_refused() -> None:
    trees = []
    for name in known_commands():
        for after in ("", "{a}", "{a}{b}", "_{a}^{b}", "[a]{b}", "(x)"):
            try:
                trees.append(parse_formula(f"x \\{name}{after} y"))
            except FormulaError:
                continue
    assert len(typeset([Equation((tree,), 12) for tree in trees])) > 500


NESTING = [
    "{%s}", "\\frac{%s}{b}", "\\dfrac{%s}{b}", "\\sqrt{%s}", "x^{%s}", "(%s)", "\\left(%s\\right)",
    "\\begin{pmatrix}%s & b\\end{pmatrix}", "\\begin{aligned}a &= %s\\end{aligned}", "\\boxed{%s}",
    "\\begin{cases}%s & a\\end{cases}", "\\overset{%s}{b}", "\\xrightarrow{%s}", "\\hat{%s}",
    "\\mathbf{%s}", "\\sum_{%s}^{a}", "\\underbrace{%s}_{a}", "{a \\over %s}", "\\ce{($%s$)}",
    "\\substack{%s \\\\ a}", "\\phantom{%s}", "\\text{a $%s$}", "\\vec{(\\frac{%s}{a})^2}_1",
    "\\begin{array}{c|c} \\hline a & %s \\end{array}", "\\big( \\prescript{%s}{2}{C}",
]  # fmt: skip


@pytest.mark.parametrize("wrapped", NESTING)
def test_the_deepest_formula_that_is_accepted_is_set(wrapped: str) -> None:
    source, deepest = "x", parse_formula("x")
    for _ in range(60):
        source = wrapped.replace("%s", source)
        try:
            deepest = parse_formula(source)
        except FormulaError:
            break
    else:
        pytest.fail("nothing bounds the depth")
    assert count_set([deepest]) == (wrapped != "\\phantom{%s}")


_PIECES = [
    *"ab12+-*/^_'(){}[]|\\ &,.=<>#$%~\n", "\\frac", "\\left(", "\\right)", "\\right.", "\\sqrt",
    "\\begin{aligned}", "\\end{aligned}", "\\begin{cases}", "\\end{cases}", "\\\\", "\\ce{",
    "\\SI{3}{", "\\text{", "\\over", "\\not", "\\big", "\\substack{", "\\tag{", "\\color{red}",
    "\\xrightarrow[", "\\begin{array}{c|l}", "\\end{array}", "\\hline", "\\boxed", "\\limits",
    "\\operatorname", "\\sum", "\\middle|", "\\rm", "\\underbrace", "{a}", "H2O", "->", "²", "é",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_whatever_is_accepted_is_set_whole_and_in_its_terms(source: str) -> None:
    try:
        scenes = split_terms(source)
    except FormulaError as error:
        assert 0 <= error.position <= len(source) and error.reason
        return
    assert all(1 <= len(terms) <= MAX_TERMS for terms in scenes)
    trees = [[parse_formula(term.removeprefix(NEW_ROW)) for term in terms] for terms in scenes]
    typeset([Equation((parse_formula(source),), 12), *(Equation(tuple(t), 12) for t in trees)])


@pytest.mark.parametrize(
    ("source", "scenes"),
    [
        ("a^2 + b^2 = c^2", [["a^2", "+ b^2", "= c^2"]]),
        ("x = \\frac{-b \\pm \\sqrt{b}}{2a}", [["x", "= \\frac{-b \\pm \\sqrt{b}}{2a}"]]),
        ("f(x+1) = -x + 3", [["f(x+1)", "= -x", "+ 3"]]),
        ("\\begin{align*} a &= b \\\\[2pt] &= c \\\\ \\end{align*}", [["a &= b", "\\\\ &= c"]]),
        ("a = b \\\\ c = d", [["a = b", "\\\\ c = d"]]),
        ("a + b \\over c = d", [["a + b \\over c = d"]]),
        ("x \\to y % note\n+ z", [["x", "\\to y", "+ z"]]),
        ("\\left( a + b \\right) = (c - d)", [["\\left( a + b \\right)", "= (c - d)"]]),
    ],
)
def test_formulas_are_divided_at_their_signs_and_rows(source: str, scenes: list[list[str]]) -> None:
    assert split_terms(source) == scenes


def test_long_formulas_take_several_scenes() -> None:
    source = " + ".join("abcdefghijklmnopqrst")
    scenes = split_terms(source)
    assert [len(terms) for terms in scenes] == [10, 10]
    assert " ".join(term for terms in scenes for term in terms) == source
    rows = split_terms(" \\\\ ".join("a &= b" for _ in range(8)))
    assert rows == [["a &= b", *["\\\\ a &= b"] * 3]] * 2
