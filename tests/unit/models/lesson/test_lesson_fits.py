"""Whatever is written, its ink lies inside the frame and covers no other ink."""

from itertools import combinations

import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from models.schemas.lesson import Scene
from models.slides.canvas import Canvas
from models.slides.errors import LessonError, MissingImage
from models.slides.layout import Box
from models.slides.render import layout_scene
from models.slides.theme import THEMES
from models.slides.timeline import SceneTimeline
from models.text.glyphs import UnsupportedCharacters
from models.typesetting.plain_text import sanitize_text
from models.typesetting.typeset import Paragraph, typeset
from tests.support.boxes import inside, overlap

SIZES = {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (720, 720)}
TEXTS = {
    "long words": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamten "
    + "x" * 70,
    "an address": "https://example.org/" + "a/very-long_path?with=queries&" * 5,
    "chinese": "光合作用是植物利用光能把二氧化碳和水变成糖和氧气的过程，“叶绿素”很重要。" * 3,
    "japanese": "植物は光のエネルギーを使って二酸化炭素と水から糖と酸素を作ります。" * 3,
    "korean": "식물은 빛 에너지를 사용하여 이산화탄소와 물로 당과 산소를 만든다. " * 3,
    "arabic": "التمثيل الضوئي هو العملية التي تحول بها النباتات ضوء الشمس إلى طاقة. " * 2,
    "hebrew": "פוטוסינתזה היא התהליך שבו צמחים ממירים אור שמש לאנרגיה כימית. " * 2,
    "devanagari": "प्रकाश संश्लेषण वह प्रक्रिया है जिसमें पौधे सूर्य के प्रकाश को बदलते हैं। " * 2,
    "thai": "การสังเคราะห์ด้วยแสงเป็นกระบวนการที่พืชเปลี่ยนแสงอาทิตย์เป็นพลังงานเคมี" * 2,
    "emoji": "🎉🚀🌱👩‍🔬 leaf 🇩🇪 ✅ " * 8,
    "towers of marks": "".join(letter + "\u0301\u0323\u0308\u0330" * 9 for letter in "marked text"),
    "mixed directions": "The word שלום and the word مرحبا (2024) stand in one line, twice. " * 2,
}
SURFACES = ("card", "edge", "disc", "node", "veil", "right", "mark", "join", "tick", "countdown")
_scene: TypeAdapter[Scene] = TypeAdapter(Scene)


def drawn(aspect: str, theme: str = "light", **scene: object) -> SceneTimeline:
    stage = Canvas(*SIZES[aspect], 25, THEMES[theme])
    return layout_scene(_scene.validate_python(scene), stage, {"p": Image.new("RGB", (64, 40))})


def words(timeline: SceneTimeline) -> list[tuple[str, int | None, Box]]:
    """Name, page and box of all that is not a surface for something else."""
    return [
        (entry.name, entry.page, entry.drawable.box)
        for entry in timeline.entries
        if not entry.name.startswith(SURFACES)
    ]


def check(timeline: SceneTimeline, aspect: str) -> None:
    frame = Box(0, 0, *SIZES[aspect])
    for entry in timeline.entries:
        assert inside(entry.drawable.box, frame), (entry.name, entry.drawable.box)
    for (name, page, box), (other, its_page, its_box) in combinations(words(timeline), 2):
        if None in (page, its_page) or page == its_page:
            assert not overlap(box, its_box), (name, box, other, its_box)


@pytest.mark.parametrize("aspect", SIZES)
@pytest.mark.parametrize("kind", TEXTS)
def test_hostile_texts_stay_in_their_places(kind: str, aspect: str) -> None:
    text = sanitize_text(TEXTS[kind])[:200].strip()
    short = text[:38].strip()
    check(drawn(aspect, title=text[:150], subtitle=text, type="title"), aspect)
    check(drawn(aspect, type="bullets", heading=text[:110], bullets=[text] * 8), aspect)
    check(drawn(aspect, type="steps", heading=short, steps=[text, short] * 3), aspect)
    check(drawn(aspect, type="picture", heading=short, image="p", caption=text), aspect)
    quiz = {"question": text[:80], "choices": [short[:24]] * 4, "answer": 2}
    timeline = drawn(aspect, type="quiz", **quiz)
    check(timeline, aspect)
    boxes = {entry.name: entry.drawable.box for entry in timeline.entries}
    for number in range(1, 5):
        assert inside(boxes[f"choice {number}"], boxes[f"card {number}"])


@pytest.mark.parametrize("aspect", SIZES)
@pytest.mark.parametrize("kind", TEXTS)
def test_labels_lie_inside_their_boxes(kind: str, aspect: str) -> None:
    label = sanitize_text(TEXTS[kind])[:40].strip()
    nodes = [{"id": name, "label": label} for name in "abcd"]
    edges = [{"from": a, "to": b, "label": label[:12].strip()} for a, b in ("ab", "ac", "bd", "cd")]
    timeline = drawn(aspect, type="diagram", nodes=nodes, edges=edges)
    boxes = {entry.name: entry.drawable.box for entry in timeline.entries}
    for number in range(1, 5):
        assert inside(boxes[f"label {number}"], boxes[f"node {number}"])
        for other in range(1, 5):
            assert not overlap(boxes[f"word {other}"], boxes[f"node {number}"])
    assert all(inside(box, Box(0, 0, *SIZES[aspect])) for box in boxes.values())


def test_a_word_that_is_broken_loses_nothing() -> None:
    whole, broken = typeset([Paragraph("W" * 40, 40), Paragraph("W" * 40, 40, 300)])
    assert broken.has_broken_word and broken.right <= 301
    assert int(broken.mask.sum()) == pytest.approx(int(whole.mask.sum()), rel=0.06)


@pytest.mark.parametrize("aspect", SIZES)
def test_what_is_too_much_for_a_page_goes_on_to_the_next(aspect: str) -> None:
    long = "A point that is as long as a point may be and says so again and again. " * 3
    timeline = drawn(aspect, type="bullets", heading="Points", bullets=[long] * 12)
    assert timeline.beats == 12
    assert len(timeline.pages) > 1
    found = {entry.page for entry in timeline.entries if entry.name.startswith("bullet")}
    assert found == set(range(len(timeline.pages)))
    check(timeline, aspect)


def test_many_points_take_two_columns_before_they_take_two_pages() -> None:
    many = drawn("16:9", type="bullets", heading="All", bullets=["A point of some length"] * 12)
    boxes = {e.name: e.drawable.box for e in many.entries}
    assert boxes["bullet 12"].x > 640 > boxes["bullet 1"].right
    assert many.pages == (0,)


def test_right_to_left_lists_have_their_marks_on_the_right() -> None:
    timeline = drawn("16:9", type="bullets", heading="שלום", bullets=["שלום עולם", "hello"])
    boxes = {entry.name: entry.drawable.box for entry in timeline.entries}
    assert boxes["mark 1"].x > boxes["bullet 1"].right
    assert boxes["mark 2"].right < boxes["bullet 2"].x
    assert boxes["heading"].x > 640


@pytest.mark.parametrize("aspect", SIZES)
def test_plots_and_charts_keep_their_labels_apart(aspect: str) -> None:
    check_labels = ("tick", "label", "legend", "value", "name", "heading")
    scenes = [
        {"functions": ["tan(x)", "1/x", "x^3"], "x_label": "time", "y_label": "height" * 3},
        {"points": [{"x": i, "y": i * 1e8} for i in range(9)], "x_range": [-1e-5, 9]},
        {"bars": [{"label": f"a name {i}", "value": (i - 3) * 1e5} for i in range(10)]},
    ]
    for scene in scenes:
        timeline = drawn(aspect, type="plot", heading="A plot", **scene)
        labels = [e for e in timeline.entries if any(word in e.name for word in check_labels)]
        for entry in timeline.entries:
            assert inside(entry.drawable.box, Box(0, 0, *SIZES[aspect])), entry.name
        for a, b in combinations(labels, 2):
            assert not overlap(a.drawable.box, b.drawable.box), (a.name, b.name)


def test_an_equation_too_wide_for_a_row_takes_more() -> None:
    terms = [
        "\\sum_{i=1}^n i",
        "= 1 + 2 + 3",
        "+ \\dots",
        "= \\frac{n(n+1)}{2}",
        "= \\frac{n^2+n}{2}",
    ]
    for aspect in SIZES:
        timeline = drawn(aspect, type="equation", heading="Sums", terms=terms, caption="for all n")
        check(timeline, aspect)
        assert timeline.beats == 5
    rows = {round(e.drawable.box.center[1] / 90) for e in timeline.entries if "term" in e.name}
    assert len(rows) > 1


def test_an_equation_that_is_accepted_fits_however_small() -> None:
    for aspect in ("16:9", "9:16", "1:1"):
        for terms in (
            ["+".join("abcdefghijklmnopqrstuvwxyz" * 2)],
            ["x"] + ["\\\\ \\frac{a}{\\frac{b}{c}}"] * 15,
            ["x &= \\frac{a}{b}"] + ["\\\\ &= \\frac{a}{b}"] * 15,
        ):
            drawn(aspect, type="equation", heading="Sums", terms=terms)


def test_what_cannot_be_drawn_is_refused_with_the_part_that_is_to_blame() -> None:
    with pytest.raises(UnsupportedCharacters, match=r"bullet 2.*U\+16A0 RUNIC LETTER FEHU"):
        drawn("16:9", type="bullets", bullets=["fine", "ᚠᚢ"])
    with pytest.raises(MissingImage, match="no picture 'q'; given were: p"):
        drawn("16:9", type="picture", image="q")
    with pytest.raises(ValidationError, match="about 207 letters wide"):
        drawn("9:16", type="equation", terms=["+".join("abcdefghijklmnopqrstuvwxyz" * 4)])
    with pytest.raises(LessonError, match="choices"):
        wide = ("A choice that is as long as it may be, word by word by word. " * 3)[:160]
        question = ("A question that is as long as it may be? " * 8)[:300]
        drawn("1:1", type="quiz", question=question, choices=[wide] * 6, answer=0)
