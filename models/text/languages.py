"""Tell in which language a text is, and which languages the built-in voice speaks.

The script decides where one language alone is written in it; langdetect decides between those that
share a script. Both are bounded in time: of a long text its beginning and its end are looked at.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

DEFAULT = "en"

# Primary tags of the voices of eSpeak NG 1.52; a test compares them to the installed library.
SPOKEN = frozenset(
    re.findall(
        r"\w+",
        "af am an ar as az ba be bg bn bpy bs ca chr cmn cs cv cy da de el en eo es et eu fa fi fr"
        " ga gd gn grc gu hak haw hbs he hi hr ht hu hy hyw ia id io is it ja jbo ka kk kl kn ko"
        " kok ku ky la lb lfn lt ltg lv mi mk ml mr ms mt mto my nb nci ne nl no nog om or pa pap"
        " piqd pl pt py qdb qu quc qya ro ru sd shn si sjn sk sl smj sq sr sv sw ta te th ti tk tn"
        " tr tt ug uk ur uz vi yue zh",
    )
)
_SAME = {"zh": "cmn", "yue": "cmn", "hak": "cmn", "no": "nb", "hyw": "hy"}

# Scripts as Unicode names their letters, and the language that is meant where nothing else is said.
_ONE_LANGUAGE = {
    "HANGUL": "ko",
    "HEBREW": "he",
    "GREEK": "el",
    "THAI": "th",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "BENGALI": "bn",
    "SINHALA": "si",
    "ORIYA": "or",
    "MYANMAR": "my",
    "ETHIOPIC": "am",
    "KHMER": "km",
    "LAO": "lo",
    "TIBETAN": "bo",
}
_SHARED = {
    "CYRILLIC": ("ru", "uk", "bg", "mk"),
    "ARABIC": ("ar", "fa", "ur"),
    "DEVANAGARI": ("hi", "mr", "ne"),
    "LATIN": tuple(
        re.findall(
            r"\w+",
            "en de es fr it pt nl pl cs sk hu ro sv da no fi tr vi hr sl et lv lt id ca sq sw cy af"
            " so tl",
        )
    ),
}
_SCRIPTS_OF = {  # of languages that are not written in Latin letters
    **{language: {script} for script, language in _ONE_LANGUAGE.items()},
    **dict.fromkeys(("ru", "uk", "bg", "mk", "be", "cv", "ba", "ky"), frozenset(["CYRILLIC"])),
    **dict.fromkeys(("ar", "fa", "ur", "ug"), frozenset(["ARABIC"])),
    **dict.fromkeys(("hi", "mr", "ne", "kok"), frozenset(["DEVANAGARI"])),
    **dict.fromkeys(("zh", "cmn", "yue", "hak"), frozenset(["CJK", "BOPOMOFO"])),
    **dict.fromkeys(("as", "bpy"), frozenset(["BENGALI"])),
    "grc": {"GREEK"},
    "hyw": {"ARMENIAN"},
    "ti": {"ETHIOPIC"},
    "shn": {"MYANMAR"},
    "ja": {"CJK", "HIRAGANA", "KATAKANA"},
    "ko": {"HANGUL", "CJK"},
}
_MANY_SCRIPTS = frozenset(
    re.findall(r"\w+", "az bs chr hbs kk ku ms mn nog pa piqd qya sd sjn sr tk tt uz")
)
_WEIGHT = {"CJK": 3, "HIRAGANA": 2, "KATAKANA": 2, "HANGUL": 2}  # such a letter says as much as two
_ENOUGH_LATIN, _ENOUGH_OTHER = 80, 8  # letters by which a language can be told
_ENOUGH_WORDS = 12  # that are not the same
_CLEAR_LATIN, _CLEAR_OTHER = 0.95, 0.7  # confidence
_ENOUGH_TO_REFUSE = 10  # weighted letters of a script that the voice cannot read
_SAMPLE = 2000  # characters, at the beginning and at the end
_SEED = 0


class Detected(NamedTuple):
    """A language (BCP 47) and the confidence in it, 0 to 1."""

    language: str
    confidence: float


class LanguageUnclear(ValueError):
    """The text is in no language that can be told, or in one that no voice speaks."""


class ScriptMismatch(ValueError):
    """The text has no letter of the script in which the language is written."""


def primary(tag: str) -> str:
    """Return the primary language of a BCP 47 tag in lower case."""
    return tag.replace("_", "-").partition("-")[0].lower()


def is_same_language(one: str, other: str) -> bool:
    """Return whether two tags name one language for a voice, such as ``zh`` and ``cmn``."""
    first, second = primary(one), primary(other)
    return _SAME.get(first, first) == _SAME.get(second, second)


def detect_language(text: str) -> Detected:
    """Return the language of ``text``.

    Text in Latin letters that is short or unclear is taken for English, with confidence 0.

    Raises:
        LanguageUnclear: it is in another script, and the language is not clear or is not spoken.
    """
    letters = _letters(text)
    if not letters:
        return Detected(DEFAULT, 0.0)
    weights = {script: count * _WEIGHT.get(script, 1) for script, count in letters.items()}
    east = sum(weights.get(script, 0) for script in ("CJK", "HIRAGANA", "KATAKANA"))
    weights["CJK"] = east
    script = max(weights, key=lambda name: weights[name])
    share = weights[script] / sum(
        weight for name, weight in weights.items() if name not in ("HIRAGANA", "KATAKANA")
    )
    if script in ("CJK", "HIRAGANA", "KATAKANA"):
        found = _east_asian(letters, share)
    elif script in _SHARED:
        found = _by_words(text, script, letters[script])
    else:
        found = Detected(_ONE_LANGUAGE.get(script, script.lower()), round(share, 3))
    if primary(found.language) not in SPOKEN:
        raise LanguageUnclear(
            f"The text seems to be in {found.language!r}, which no installed voice speaks"
        )
    return found


def check_script(text: str, language: str) -> None:
    """Check that ``text`` has letters of the script in which ``language`` is written.

    Raises:
        ScriptMismatch: it has none of them, but others.
    """
    code = primary(language)
    if code in _MANY_SCRIPTS or "latn" in language.lower() or "cyrl" in language.lower():
        return
    letters = _letters(text)
    wanted = _SCRIPTS_OF.get(code, {"LATIN"})
    others = {s: n * _WEIGHT.get(s, 1) for s, n in letters.items() if s not in wanted}
    if any(script in wanted for script in letters) or sum(others.values()) < _ENOUGH_TO_REFUSE:
        return
    try:
        hint = f'Write "language": "{detect_language(text).language}"'
    except LanguageUnclear as unclear:
        hint = str(unclear)
    raise ScriptMismatch(f"The text has no letter that {language!r} is written with. {hint}")


def _letters(text: str) -> Counter[str]:
    """Count the letters of each script, by the first word of their names in Unicode."""
    counts: Counter[str] = Counter()
    for char, count in Counter(_sample(text)).items():
        if char.isalpha():
            counts[_script(char)] += count
    return counts


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    name = unicodedata.name(char, "OTHER").split(" ")[0].partition("-")[0]
    return {"FULLWIDTH": "LATIN", "MODIFIER": "LATIN", "FEMININE": "LATIN"}.get(name, name)


def _sample(text: str) -> str:
    return text if len(text) <= 2 * _SAMPLE else f"{text[:_SAMPLE]} {text[-_SAMPLE:]}"


def _east_asian(letters: Counter[str], share: float) -> Detected:
    kana, han = letters["HIRAGANA"] + letters["KATAKANA"], letters["CJK"]
    if kana * 20 >= han:  # Japanese has more of them by far
        return Detected("ja", round(share, 3))
    if han < _ENOUGH_OTHER:
        raise LanguageUnclear(
            'The text is too short to tell its language; write "language": "zh" or "ja"'
        )
    return Detected("zh", round(share, 3))


def _by_words(text: str, script: str, count: int) -> Detected:
    sample = _sample(text)
    languages = _SHARED[script]
    best = _most_likely(sample, script)
    if script == "LATIN":
        half = len(sample) // 2
        clear = (
            count >= _ENOUGH_LATIN
            and len(set(sample.lower().split())) >= _ENOUGH_WORDS
            and "lorem ipsum" not in sample.lower()
            and best.confidence >= _CLEAR_LATIN
            and _most_likely(sample[:half], script).language == best.language
            and _most_likely(sample[half:], script).language == best.language
        )
        return best if clear else Detected(DEFAULT, 0.0)
    if count < _ENOUGH_OTHER or best.confidence < _CLEAR_OTHER:
        choices = " or ".join(f'"{language}"' for language in languages)
        raise LanguageUnclear(f'The language of the text is not clear; write "language": {choices}')
    return best


def _most_likely(text: str, script: str) -> Detected:
    from langdetect.lang_detect_exception import LangDetectException

    detector = _factory(script).create()
    detector.append(text)
    try:
        found = detector.get_probabilities()
    except LangDetectException:  # no letter that any profile knows
        return Detected("", 0.0)
    return Detected(found[0].lang, round(found[0].prob, 3)) if found else Detected("", 0.0)


@lru_cache(maxsize=len(_SHARED))
def _factory(script: str) -> Any:
    """The detector of one script's languages; it gives the same answer every time."""
    from langdetect.detector_factory import DetectorFactory

    folder = resources.files("langdetect") / "profiles"
    factory = DetectorFactory()
    factory.load_json_profile(
        [(folder / language).read_text(encoding="utf-8") for language in _SHARED[script]]
    )
    factory.seed = _SEED
    return factory
