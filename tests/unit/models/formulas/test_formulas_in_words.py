"""Formulas read aloud: as a teacher says them, in ten languages, without a sign of LaTeX."""

from pathlib import Path

import pytest
import yaml

import models.formulas.speech as speech
from models.formulas.speech import spoken_formula

LANGUAGES = ["en", "de", "fr", "es", "it", "pt", "ru", "ar", "he", "zh"]
WORDS = yaml.safe_load(Path(speech.__file__).with_name("words.yaml").read_text("utf-8"))
TEXTBOOK = [
    line
    for line in Path(__file__).with_name("textbook.txt").read_text("utf-8").splitlines()
    if not line.startswith("## ")
]


@pytest.mark.parametrize(
    ("tex", "words"),
    [
        ("a^2 + b^2 = c^2", "a squared plus b squared equals c squared"),
        ("A = \\pi r^2", "A equals pi r squared"),
        ("\\frac{1}{2}", "one half"),
        ("\\frac{a}{b}", "a over b"),
        (
            "x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}",
            "x equals minus b plus or minus the square root of b squared minus 4 a c, over 2 a",
        ),
        ("\\sqrt[3]{8} = 2", "the cube root of 8 equals 2"),
        ("f(x) = \\sin x", "f of x equals sine x"),
        ("a(b + c)", "a open bracket b plus c close bracket"),
        ("\\sum_{i=1}^n i", "the sum from i equals 1 to n of i"),
        ("\\int_0^1 x\\,dx", "the integral from 0 to 1 of x d x"),
        ("\\lim_{x \\to 0} f(x)", "the limit as x to 0, f of x"),
        ("x_1", "x sub 1"),
        ("e^{-x}", "e to the power of minus x"),
        ("|x| \\le 3", "the absolute value of x is at most 3"),
        ("90^\\circ", "90 degrees"),
        ("\\ce{H2O}", "H 2 O"),
        ("\\SI{9.8}{m/s}", "9.8 m per s"),
        ("x \\in \\mathbb{R}", "x is in R"),
        ("\\vec{a} \\cdot \\vec{b}", "vector a times vector b"),
        ("10\\%", "10 percent"),
        ("n!", "n factorial"),
    ],
)
def test_formulas_are_said_in_words(tex: str, words: str) -> None:
    assert spoken_formula(tex, "en-US") == words


def test_other_languages_have_words_of_their_own() -> None:
    said = {language: spoken_formula("a^2 = \\frac{b}{\\pi}", language) for language in LANGUAGES}
    assert said["de"] == "a hoch zwei gleich b durch pi"
    assert said["fr"] == "a au carré égale b sur pi"
    assert said["ar"] == "a تربيع يساوي b على باي"
    assert said["zh"] == "a 的平方 等于 派 分之 b"
    assert len(set(said.values())) == len(LANGUAGES)
    assert spoken_formula("a^2 = b", "fi") == "a² = b"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word(language: str) -> None:
    words, english = WORDS[language], WORDS["en"]
    optional = {"greek", "below_first"}
    assert set(words) - optional == set(english) - optional
    for name in ("signs", "fractions"):
        assert set(words[name]) == set(english[name])
        assert all(isinstance(word, str) and word for word in words[name].values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_of_the_textbooks_is_read_with_a_sign_of_latex(language: str) -> None:
    for tex in TEXTBOOK:
        said = spoken_formula(tex, language)
        assert said and not set("\\$^~&#`_{}|<>") & set(said), (tex, said)
