"""From a request to a script: Markdown, topics, prices, beats, and what is refused before a job."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deployments.contract import BadInput
from deployments.generators.study_animation.fenced_blocks import BadMarkdown
from deployments.generators.study_animation.generator import StudyAnimationGenerator
from deployments.generators.study_animation.lesson_from_markdown import lesson_from_markdown
from deployments.generators.study_animation.narration import Narration, reveal_times
from deployments.generators.study_animation.spec import SPEC, StudyRequest
from models.media.timeline import TimelinePart, build_timeline
from models.schemas.lesson import BulletsScene, Lesson, QuizScene, TitleScene
from models.speech.narrator import Narrator
from models.speech.speech import SpeechRequest
from tests.support.lessons import lesson, make

MARKDOWN = """# Triangles

They have **three** sides.

## What we need

Look closely.

- A right angle
- Two legs,
  a and b

## The theorem

$$ a^2 + b^2
= c^2 $$

It is very old.

## In turn

1. Square
2. Add

![The drawing](figure.png)

```plot
y = x^2
x: -3..3
y label: area
```

```diagram
a: Leg a
a -> c: square
c: Long side
```

```quiz
Which is longest?
- [ ] A leg
- [x] The hypotenuse
pause: 2
```

## Only words

One thing is this. Another is that.
"""


def test_every_block_becomes_its_scene() -> None:
    found = lesson_from_markdown(MARKDOWN, ("figure.png",))
    assert found.title == "Triangles"
    assert [scene.type for scene in found.scenes] == [
        *("title", "bullets", "equation", "steps", "picture", "plot", "diagram", "quiz", "bullets")
    ]
    said = [scene.narration for scene in found.scenes]
    assert said == [
        "They have three sides.",
        "Look closely. A right angle. Two legs, a and b.",
        "It is very old.",
        "Square. Add.",
        "The drawing.",
        "",  # its heading was said
        "Leg a. Long side.",
        "Which is longest? A leg. The hypotenuse.",
        "One thing is this. Another is that.",
    ]
    shown = [scene.model_dump(exclude_defaults=True, by_alias=True) for scene in found.scenes]
    assert shown[1]["bullets"] == ("A right angle", "Two legs, a and b")
    assert shown[2]["terms"] == ("a^2", "+ b^2", "= c^2")
    assert shown[4]["image"] == "figure.png"
    assert shown[5]["functions"] == ("x^2",) and shown[5]["x_range"] == (-3, 3)
    assert shown[6]["edges"] == ({"from": "a", "to": "c", "label": "square"},)
    assert (shown[7]["answer"], shown[7]["pause_s"]) == (1, 2)
    assert shown[8]["heading"] == "Only words"


def _scenes(text: str) -> list[tuple[str, str, str]]:
    """(type, heading or title, narration) of each scene."""
    found = lesson_from_markdown(text, ("mouth.png",)).scenes
    return [
        (scene.type, getattr(scene, "title", getattr(scene, "heading", "")), scene.narration)
        for scene in found
    ]


def test_a_document_of_another_program_is_read_as_it_is_meant() -> None:
    text = """\ufeff---
theme: plain
---

Rivers
======

> Water runs
> **downhill**.

<!-- ask who has seen a source -->

Parts of a river
----------------

1. Source

2. Course
   of the river

   - It winds.

3. Mouth

| Part | Speed |
|------|-------|
| Source | fast |

[![The mouth](mouth.png)](https://example.org)

From the [atlas][1], $v \\sim \\sqrt{s}$, for \\$5.[^1]

[1]: https://example.org/atlas
[^1]: Second edition.
"""
    assert _scenes(text.replace("\n", "\r\n")) == [
        ("title", "Rivers", "Rivers."),
        ("quote", "Rivers", "Water runs downhill."),
        ("steps", "Parts of a river", "Source. Course of the river. It winds. Mouth."),
        ("table", "Parts of a river", "Part: Source; Speed: fast."),
        (
            "picture",
            "Parts of a river",
            "The mouth. From the atlas, v is similar to the square root of s, for $5."
            " Second edition.",
        ),
    ]


def test_items_parted_by_blank_lines_are_one_scene_and_inner_ones_are_points() -> None:
    found = lesson_from_markdown("- One\n\n- Two\n  - Inner\n\n+ Other mark\n\n---\n\n###\n\nEnd.")
    assert [getattr(scene, "bullets", None) for scene in found.scenes] == [
        ("One", "Two", "Inner"),
        ("Other mark",),
        ("End.",),
    ]
    assert found.scenes[0].levels == (0, 0, 1)  # type: ignore[union-attr]
    assert [scene.narration for scene in found.scenes][1:] == ["Other mark.", "End."]


def test_a_long_paragraph_above_a_line_of_dashes_is_no_heading() -> None:
    text = "It begins here. " + "Word after word follows.\n" * 6 + "---\n\nAfter."
    assert _scenes(text)[0][2].startswith("It begins here. Word after word")


def test_what_stands_below_a_rule_is_in_another_scene() -> None:
    text = "## Sums\n\n$$ a + b $$\n\nBefore.\n\n---\n\nAfter."
    assert _scenes(text) == [("equation", "Sums", "Before."), ("bullets", "Sums", "After.")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# A\n\n```mermaid\ngraph TD\n```", "line 3: a mermaid drawing"),
        ("# A\n\n```python\nprint(1)", "line 3: the block is never closed with ```"),
        ("```plot\ny = x", "line 1: the block is never closed"),
        ("$$ a + b", "line 1: the block is never closed"),
        ("# A\n```plot\nx: 3\n```", "line 3: a range"),
        ("```plot\nx: 3..1\ny = x\n```", "line 1: plot"),
        ("![leaf](../../etc/passwd)", "line 1: there is no picture 'passwd'"),
        ("```quiz\nA?\n- b\n- c\n```", "line 1: mark the right choice"),
        ("```diagram\na => b\n```", "line 2: a diagram has lines"),
        ("# A\n\n" * 41, "at most 40 scenes"),
        ("\n\n", "nothing to show"),
        ("- a\r\n\r\n  ```plot\r\n  y = x\r\n  x: 3\r\n  ```", "line 5: a range"),
        ("---\ntitle: T\n---\n> ```quiz\n> A?\n> - b\n> ```", "line 4: mark the right choice"),
        ("A price.\n\nText\n$$ a + b", "line 4: the block is never closed"),
        ("a\n![leaf](../leaf.png)", "line 2: there is no picture 'leaf.png'"),
    ],
)
def test_markdown_that_cannot_be_shown_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(BadMarkdown, match=reason):
        lesson_from_markdown(text)
    with pytest.raises(ValidationError, match=r"markdown, line \d+"):
        StudyRequest(markdown=text)


def test_a_flood_of_marks_takes_no_time() -> None:
    for flood in ("*" * 20_000, "[" * 20_000, "$" * 20_000, "- \n" * 6_000, "`_*" * 6_000):
        try:
            lesson_from_markdown(flood[:20_000])
        except BadMarkdown:
            continue


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"topic": "a", "markdown": "b"},
        {"markdown": "# a", "scenes": [1]},
        {"earlier": "job_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"},
        {"earlier": "job_01J9ZQ7W8R4N2T5V6X8Y0ZABCD", "scenes": [1], "topic": "a"},
        {"earlier": "job_01J9ZQ7W8R4N2T5V6X8Y0ZABCD", "scenes": [1, 1]},
        {"topic": "a", "language": "../en"},
        {"markdown": "x" * 20_001},
    ],
)
def test_a_request_that_means_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StudyRequest.model_validate(given)


def test_the_price_grows_with_the_work() -> None:
    def price(**given: Any) -> int:
        return SPEC.quote(StudyRequest.model_validate(given))

    text = "# A\n\n" + "A sentence that is spoken. " * 20
    assert price(markdown="# A") >= 1
    assert price(markdown=text) < price(markdown=text * 3)
    assert price(markdown=text) < price(markdown=text, speed=0.5)
    assert price(markdown=text, resolution="720p") < price(markdown=text, resolution="1080p")
    assert price(markdown=text) < price(markdown=text, fps=60)
    assert price(topic="a", max_seconds=60) < price(topic="a", max_seconds=600)
    job = "job_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"
    whole = lesson_from_markdown(f"{text}\n\n{text}\n\n{text}").model_dump()
    assert price(earlier=job, scenes=[1], lesson=whole) < price(lesson=whole)
    assert price(earlier=job, scenes=[1]) < price(earlier=job, scenes=[1, 2, 3])


def test_things_appear_with_their_words() -> None:
    narrator = Narrator()
    speech = narrator.speak(SpeechRequest("First we need water, then, after a while, some light."))
    scene = BulletsScene(bullets=("Water", "Nothing said", "Some light"))
    [placed] = build_timeline([TimelinePart("", speech)], 24).parts
    times = reveal_times(scene, 3, placed, Narration(speech), "en")
    at = {word.text.strip(",."): word.start for word in placed.words()}
    assert times[0] == pytest.approx(at["water"] - 0.15)
    assert times[2] == pytest.approx(at["some"] - 0.15)
    assert times[0] < times[1] < times[2]


def test_what_is_not_said_comes_evenly_and_an_answer_after_its_pause() -> None:
    speech = Narrator().speak(SpeechRequest("Guess."))
    [placed] = build_timeline([TimelinePart("", speech, 10)], 24).parts
    even = reveal_times(
        BulletsScene(bullets=("One", "Two", "Three")), 3, placed, Narration(speech), "en"
    )
    assert even[2] - even[1] == pytest.approx(even[1] - even[0])
    assert even[2] < placed.seconds
    quiz = QuizScene(question="Guess", choices=("One", "Two"), answer=0, pause_s=3)
    times = reveal_times(quiz, 3, placed, Narration(speech, answer_at=speech.duration + 3), "en")
    assert times[2] == pytest.approx(0.4 + speech.duration + 3)
    assert times[0] <= times[1] <= times[2] - 2.9


@pytest.fixture(scope="module")
def generator() -> StudyAnimationGenerator:
    return StudyAnimationGenerator()


def test_a_text_becomes_a_lesson_and_the_notes_say_what_wrote_it(
    generator: StudyAnimationGenerator, tmp_path: Path
) -> None:
    topic = "Leaves make sugar.\n\nThey need light, water and air.\n\nThe sugar feeds the tree."
    made = make(generator, tmp_path, {"topic": topic, "max_seconds": 12})
    assert made.notes["script_by"] == "outline"
    assert "outline" in made.notes["model"] and "espeak" in made.notes["model"]
    script = Lesson.model_validate_json(made.files["script.json"].read_text())
    assert "sugar" in script.scenes[0].narration + script.scenes[1].narration
    assert made.notes["seconds"] <= 12
    assert len(script.scenes) == made.notes["scenes"]


def test_a_bare_topic_needs_a_language_model(
    generator: StudyAnimationGenerator, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as refused:
        make(generator, tmp_path, {"topic": "Photosynthesis"})
    assert refused.value.code == "needs_language_model"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Ein Blatt macht Zucker."),
        ("fr", "Une feuille fait du sucre."),
        ("ar", "الورقة تصنع السكر."),
        ("he", "העלה מייצר סוכר."),
        ("zh", "树叶制造糖。"),
        ("ja", "はっぱは とうを つくる。"),
        ("hi", "पत्ता चीनी बनाता है।"),
        ("ru", "Лист делает сахар."),
    ],
)
def test_lessons_speak_and_show_many_languages(
    generator: StudyAnimationGenerator, tmp_path: Path, language: str, text: str
) -> None:
    scene = {"type": "bullets", "bullets": [text], "narration": text}
    made = make(generator, tmp_path, lesson(scene, language=language) | {"burn_subtitles": True})
    assert made.notes["language"] == language
    written = "".join(made.files["lesson.srt"].read_text().split("\n")[2:]).strip()
    assert written.replace(" ", "") == text.replace(" ", "")
    assert made.files["lesson.mp4"].stat().st_size > 5_000


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (lesson() | {"voice": "nobody"}, "unknown_voice"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(
    generator: StudyAnimationGenerator, tmp_path: Path, given: dict[str, Any], code: str
) -> None:
    with pytest.raises(BadInput) as refused:
        make(generator, tmp_path, given)
    assert refused.value.code == code
    assert str(tmp_path) not in refused.value.detail


def test_markup_and_code_are_shown_and_spoken_as_they_are(
    generator: StudyAnimationGenerator, tmp_path: Path
) -> None:
    hostile = [
        '#read("/etc/passwd") #image("/etc/passwd")',
        "<script>alert(1)</script> <i>00:00:01,000 --> 00:00:09,000</i>",
        "\\input{/etc/passwd} $#sys.inputs$ ]; #panic()",
        "../../../../etc/passwd \x07 {0} %s ${HOME} `id`",
    ]
    scenes = [{"type": "title", "title": text, "narration": text} for text in hostile]
    made = make(generator, tmp_path, lesson(*scenes) | {"burn_subtitles": True})
    subtitles = made.files["lesson.vtt"].read_text()
    assert "<script>" not in subtitles and "&lt;script&gt;" in subtitles
    assert "root:" not in subtitles and subtitles.count("-->") == made.files[
        "lesson.srt"
    ].read_text().count("-->")
    script = Lesson.model_validate_json(made.files["script.json"].read_text())
    titles = [scene.title for scene in script.scenes if isinstance(scene, TitleScene)]
    assert titles[0] == hostile[0] and titles[2] == hostile[2]
