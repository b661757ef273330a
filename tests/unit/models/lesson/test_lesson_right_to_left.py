"""In Arabic and Hebrew everything that is read in an order is in the order of the language."""

import pytest
from pydantic import TypeAdapter

from models.schemas.lesson import Scene
from models.slides.canvas import Canvas
from models.slides.layout import Box
from models.slides.render import layout_scene
from models.slides.theme import THEMES
from models.slides.timeline import SceneTimeline
from models.typesetting.typeset import Paragraph, typeset

_scene: TypeAdapter[Scene] = TypeAdapter(Scene)
LONG = "نقطة طويلة تكفي لسطر كامل من النص"


def drawn(**scene: object) -> SceneTimeline:
    canvas = Canvas(1280, 720, 25, THEMES["light"], "ar")
    return layout_scene(_scene.validate_python(scene), canvas, {})


def boxes(timeline: SceneTimeline) -> dict[str, Box]:
    return {entry.name: entry.drawable.box for entry in timeline.entries}


def test_words_of_a_comment_stand_in_the_order_they_are_read() -> None:
    code = "x = 1  # واحدة بعد أخرى (NASA 5) أيضا"
    timeline = drawn(type="code", code=code, language="python")
    words = [e.drawable for e in timeline.entries if e.name.startswith("word")]
    assert len(words) == 5  # the comment's words are one, which the typesetter orders
    last = words[-1]
    assert all(word.box.right < last.box.x for word in words[:-1])


def test_the_axes_have_their_labels_at_their_ends() -> None:
    at = boxes(drawn(type="plot", functions=["x"], x_label="نصف القطر", y_label="المساحة"))
    assert at["x label"].x > 640 > at["y label"].right


def test_the_first_of_two_columns_is_the_right_one() -> None:
    at = boxes(drawn(type="bullets", heading="نقاط", bullets=[LONG] * 12))
    assert at["bullet 1"].x > 640 > at["bullet 12"].right
    choices = [LONG, "ب", "ج", "د", "ه", "و"]
    at = boxes(drawn(type="quiz", question=LONG * 2, choices=choices, answer=0))
    assert at["card 1"].x > at["card 2"].right


@pytest.mark.parametrize(("direction", "from_right"), [("auto", True), ("right", False)])
def test_arrows_lead_to_the_left_unless_it_is_said_otherwise(
    direction: str, from_right: bool
) -> None:
    nodes = [{"id": "a", "label": "الشمس"}, {"id": "b", "label": "ورقة"}]
    edges = [{"from": "a", "to": "b", "label": "يغذي"}]
    at = boxes(drawn(type="diagram", nodes=nodes, edges=edges, direction=direction))
    first, word, last = (at[name].center[0] for name in ("node 1", "word 1", "node 2"))
    assert (first > word > last) if from_right else (first < word < last)


def test_a_side_that_is_named_is_that_side_in_every_language() -> None:
    left, right = typeset(
        [Paragraph("المساحة", 24, 500, align=side) for side in ("left", "right")], "ar"
    )
    assert left.left < 10 and right.right > 490
