"""Languages: what a text tells of its own, and what the voice can read."""

import pytest

from models.speech import espeak
from models.text.languages import (
    SPOKEN,
    LanguageUnclear,
    ScriptMismatch,
    check_script,
    detect_language,
    is_same_language,
    primary,
)

SPANISH = (
    "Ana abrió la puerta del faro. Dentro estaba el viejo Tomás. Tomás sonrió y encendió la"
    " lámpara. Ana miró el mar hasta el amanecer."
)


def test_the_table_of_spoken_languages_is_that_of_the_installed_voice() -> None:
    tags = {primary(tag) for voice in espeak.list_voices() for _, tag in voice.languages}
    assert tags == SPOKEN


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "从前，有一个红头发的女人叫米拉。"),
        ("ja", "昔々、ミラがいた。灯台に住んでいた。"),
        ("ko", "옛날 옛적에 미라가 살았다."),
        ("ru", "Однажды в маяке жила девушка по имени Мира."),
        ("uk", "Одного разу в маяку жила дівчина на ім'я Міра."),
        ("ar", "ذهب الولد إلى البيت وكان متعبا جدا."),
        ("fa", "پسر به خانه رفت و مادرش را دید."),
        ("he", "השמש והירח. NASA שלחה חללית בשנת 2018"),
        ("hi", "मीरा हर शाम समुद्र के किनारे दीपक जलाती थी।"),
        ("el", "Η Μίρα άναψε το φως."),
        ("th", "นี่คือเรื่องราวของมิร่า"),
        ("es", SPANISH),
        ("de", "Jeden Abend ging der alte Kapitän an den Strand und sah lange auf das Meer hinaus."
               " Dann zündete er die Lampe an."),
    ],
)  # fmt: skip
def test_a_clear_language_is_told(language: str, text: str) -> None:
    found = detect_language(text)
    assert (found.language, found.confidence > 0.6) == (language, True)
    assert detect_language(text) == found


@pytest.mark.parametrize(
    "text", ["", "NASA", "Photosynthesis", "The lamp", "La llave", "x" * 3000, "Once. " * 2000,
             "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor"
             " incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam.", "E = mc²",
             "Mira walked along the beach and lit the old lamp. " * 100],
)  # fmt: skip
def test_short_and_unclear_latin_text_stays_english(text: str) -> None:
    assert detect_language(text).language == "en"


@pytest.mark.parametrize(
    ("text", "hint"), [("灯塔", '"zh"'), ("маяк", '"ru"'), ("កំពង់ផែ", "no installed voice")]
)
def test_what_cannot_be_told_or_spoken_is_refused_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(LanguageUnclear, match=hint):
        detect_language(text)


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "从前有一个红头发的女人叫米拉"), ("zh", "Mira walked along the beach"),
     ("de", "Однажды в маяке жила девушка"), ("he", "ذهب الولد إلى البيت"), ("ru", SPANISH)],
)  # fmt: skip
def test_a_language_whose_letters_the_text_lacks_is_refused(language: str, text: str) -> None:
    with pytest.raises(ScriptMismatch, match="language"):
        check_script(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "Mira said 你好。"), ("zh", "NASA"), ("he", "NASA שלחה"), ("sr", "Nekada je živela"),
     ("sr-Latn", "Nekada davno"), ("ja", "灯台"), ("zh-Hant", "燈塔在海邊很久"), ("en", "2 + 2")],
)  # fmt: skip
def test_some_letters_of_the_language_are_enough(language: str, text: str) -> None:
    check_script(text, language)


def test_names_of_one_language_are_the_same() -> None:
    assert is_same_language("zh-CN", "cmn") and is_same_language("nb", "no")
    assert not is_same_language("en-us", "zh")
