"""Tables, code, quotes and lists within lists lie inside the frame and cover nothing."""

import pytest

from models.slides.shapes import MaskSprite
from tests.unit.models.lesson.test_lesson_fits import SIZES, TEXTS, check, drawn


@pytest.mark.parametrize("aspect", SIZES)
@pytest.mark.parametrize("kind", ["long words", "chinese", "arabic", "thai", "mixed directions"])
def test_hostile_texts_stay_in_tables_quotes_and_lists(kind: str, aspect: str) -> None:
    text = TEXTS[kind].strip()
    cell = text[:40].strip()
    rows = [[cell, cell[:9].strip(), cell] for _ in range(6)]
    check(drawn(aspect, type="table", heading=text[:60], header=["A", "B", "C"], rows=rows), aspect)
    check(drawn(aspect, type="quote", label="Tip", quotes=[text[:190].strip()] * 3), aspect)
    marks, levels = ["98", "•", "1", "99 [x]", "", "100"], [0, 1, 2, 0, 0, 0]
    points = {"steps": [cell] * 6, "marks": marks, "levels": levels}
    check(drawn(aspect, type="steps", heading=cell, **points), aspect)


@pytest.mark.parametrize("aspect", SIZES)
@pytest.mark.parametrize(
    "code",
    [
        "for i in range(3):\n\tprint(i)  # three\n" * 20,
        "x = '" + "y" * 1000 + "'",
        "\n".join(f"名前 = '{n}号'" for n in range(60)),
        "    only indented",
    ],
)
def test_code_stays_in_its_card_on_however_many_pages(code: str, aspect: str) -> None:
    timeline = drawn(aspect, type="code", heading="Loops", code=code, language="python")
    check(timeline, aspect)
    assert timeline.beats == len(timeline.pages)


def test_words_of_code_keep_their_columns_and_have_colors_of_their_kinds() -> None:
    code = "def f(a):\n    return 'b'  # why\n"
    timeline = drawn("16:9", type="code", code=code, language="python")
    words = [entry.drawable for entry in timeline.entries if entry.name.startswith("word")]
    assert all(isinstance(word, MaskSprite) for word in words)
    assert len({word.color for word in words if isinstance(word, MaskSprite)}) >= 4
    plain = drawn("16:9", type="code", code=code, language="no language")
    inks = [entry.drawable for entry in plain.entries if entry.name.startswith("word")]
    assert len({word.color for word in inks if isinstance(word, MaskSprite)}) == 1
    assert next(word.box.x for word in words) < min(word.box.x for word in words[-4:])


@pytest.mark.parametrize("aspect", SIZES)
def test_the_longest_points_and_headings_that_are_allowed_fit(aspect: str) -> None:
    wide, narrow = "光合作用是植物利用光能的过程，" * 13, "WIDE WORDS " * 36
    heading = narrow[:160].strip()
    for text in (wide[:199], narrow[:400].strip()):
        check(drawn(aspect, type="bullets", heading=heading, bullets=[text] * 2), aspect)
        check(drawn(aspect, type="quote", heading=heading, label="Note", quotes=[text]), aspect)
    check(drawn(aspect, type="steps", heading=wide[:80], steps=[wide[:199]] * 2), aspect)
