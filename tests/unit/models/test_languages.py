"""Language codes of films."""

import pytest

from models.media.languages import iso639_2_code


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "eng"), ("en-US", "eng"), ("en_GB", "eng"), ("SV", "swe"), ("de", "deu"),
        ("ger", "deu"), ("fre", "fra"), ("zh-Hant-TW", "zho"), ("no", "nor"), ("nb", "nob"),
        ("iw", "heb"), ("yue", "yue"), ("tlh", "tlh"), ("xx", "und"), ("", "und"), ("../en", "und"),
    ],
)  # fmt: skip
def test_tags_become_three_letters(tag: str, code: str) -> None:
    assert iso639_2_code(tag) == code
