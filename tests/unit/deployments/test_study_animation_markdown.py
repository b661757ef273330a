"""What each construct of Markdown becomes in a lesson: shown, said, left out, or refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.generators.study_animation.fenced_blocks import BadMarkdown
from deployments.generators.study_animation.lesson_from_markdown import lesson_from_markdown
from deployments.generators.study_animation.lesson_from_outline import lesson_from_outline
from deployments.generators.study_animation.spec import StudyRequest, script_from_request
from deployments.generators.study_animation.topic_words import left_out_of_topic
from models.schemas.drawn_scenes import EquationScene
from models.schemas.lesson import (
    BulletsScene,
    CodeScene,
    Lesson,
    PictureScene,
    QuoteScene,
    StepsScene,
    TableScene,
)
from models.text.outline import extract_lesson_outline
from scripts.lesson_gallery import SOURCES

CONSTRUCTS = SOURCES / "constructs.md"
PICTURE = {"name": "pic.png", "image": {"file_id": "file_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"}}


def _lesson(text: str, *pictures: str) -> Lesson:
    return lesson_from_markdown(text, pictures)


def _only(text: str, kind: type[Any], *pictures: str) -> Any:
    """The one scene of its kind."""
    [scene] = [s for s in _lesson(text, *pictures).scenes if isinstance(s, kind)]
    return scene


def _left(text: str, *pictures: str) -> list[tuple[str, str]]:
    return [(part.text.strip(), part.reason) for part in _lesson(text, *pictures).left_out]


def test_a_numbered_list_with_blank_lines_is_one_scene_with_its_numbers() -> None:
    scene = _only("1. Boil.\n\n2. Warm.\n\n3. Add.\n\n4. Pour.", StepsScene)
    assert (scene.start, scene.steps) == (1, ("Boil.", "Warm.", "Add.", "Pour."))
    assert scene.marks == ()


def test_twelve_steps_go_on_with_seven_on_the_second_scene() -> None:
    text = "# Assembly\n\n" + "".join(f"{n}. Step {n}.\n" for n in range(1, 13))
    steps = [s for s in _lesson(text).scenes if isinstance(s, StepsScene)]
    assert [(s.start, len(s.steps), s.steps[0]) for s in steps] == [
        (1, 6, "Step 1."),
        (7, 6, "Step 7."),
    ]


def test_a_list_that_begins_with_four_or_is_interrupted_keeps_its_numbers() -> None:
    assert _only("4. Four\n4. Five", StepsScene).start == 4
    parts = _lesson("1. One\n\n   ```\n   code\n   ```\n2. Two").scenes
    assert [s.start for s in parts if isinstance(s, StepsScene)] == [1, 2]
    parts = _lesson("1. One\n\nBetween.\n\n2. Two").scenes
    assert [s.start for s in parts if isinstance(s, StepsScene)] == [1, 2]


def test_lists_within_lists_keep_their_depth_their_numbers_and_their_boxes() -> None:
    text = "1. A\n\n   more of A\n2. B\n   - C\n     1. D\n   - [x] E\n3. [ ] F"
    scene = _only(text, StepsScene)
    assert scene.steps == ("A", "more of A", "B", "C", "D", "E", "F")
    assert scene.levels == (0, 0, 0, 1, 2, 1, 0)
    assert scene.marks == ("1", "", "2", "•", "1", "[x]", "3 [ ]")


def test_a_nested_list_goes_on_with_its_numbers_in_the_next_scene() -> None:
    text = "".join(f"{n}. Item {n}\n   - within {n}\n" for n in range(1, 8))
    steps = [s for s in _lesson(text).scenes if isinstance(s, StepsScene)]
    marks = [mark for scene in steps for mark in scene.marks]
    assert marks == [mark for n in range(1, 8) for mark in (str(n), "•")]


def test_a_table_is_a_table_and_is_read_row_by_row() -> None:
    text = "| Part | What it does |\n|---|:-:|\n| Nucleus | keeps the plan |\n| Wall | |"
    scene = _only(text, TableScene)
    assert scene.header == ("Part", "What it does")
    assert scene.rows == (("Nucleus", "keeps the plan"), ("Wall", ""))
    assert scene.narration == "Part: Nucleus; What it does: keeps the plan. Part: Wall."


def test_a_long_table_goes_on_with_its_header_and_a_wide_one_becomes_points() -> None:
    rows = "".join(f"| {n} | row {n} |\n" for n in range(14))
    tables = [s for s in _lesson(f"|A|B|\n|-|-|\n{rows}").scenes if isinstance(s, TableScene)]
    assert [len(s.rows) for s in tables] == [5, 5, 4]
    assert {s.header for s in tables} == {("A", "B")}
    wide = "|" + "|".join(f"c{n}" for n in range(7)) + "|\n" + "|-" * 7 + "|\n|" + "x|" * 7
    assert _only(wide, BulletsScene).bullets[0].startswith("c0: x; c1: x")


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        (
            "```python\nfor i in range(3):\n    print(i)\n```",
            "python",
            "for i in range(3):\n    print(i)",
        ),
        ("```\n* no list *\n```", "", "* no list *"),
        ("~~~c++\nint a;\n~~~", "c++", "int a;"),
        ("Text.\n\n    $ pip install x", "", "$ pip install x"),
        ("```klingon\nQapla'\n```", "klingon", "Qapla'"),
    ],
)
def test_code_is_shown_as_it_is_written_and_not_read_out(
    text: str, language: str, code: str
) -> None:
    scene = _only(f"# Loops\n\nLook at this.\n\n{text}\n\nIt runs.", CodeScene)
    assert (scene.code, scene.language) == (code, language)
    assert scene.narration.endswith("It runs.")
    assert code.split()[0] not in scene.narration


def test_long_code_goes_on_in_further_scenes_line_by_line() -> None:
    lines = [f"line {n}" for n in range(60)]
    scenes = _lesson("```\n" + "\n".join(lines) + "\n```").scenes
    assert "\n".join(s.code for s in scenes if isinstance(s, CodeScene)).split("\n") == lines
    assert scenes[1].source_lines == (26, 49)


def test_the_title_of_a_fence_is_its_caption() -> None:
    text = '```js {1,3} title="loop.js"\nf();\n```'
    assert _only(text, CodeScene).caption == "loop.js"
    assert _left(text) == [("{1,3}", "settings of a code block")]


def test_formulas_are_formulas_in_dollars_fences_and_brackets() -> None:
    for text in ("$$ a = b $$", "```math\na = b\n```", "\\[ a = b \\]", "$$\na\n= b\n$$"):
        assert _only(text, EquationScene).terms == ("a", "= b")


def test_formulas_in_sentences_are_set_on_the_line_and_said_in_words() -> None:
    text = "- $D = b^2 - 4ac$ is it.\n- If \\(D < 0\\), none; a coffee costs $3 and a tea $2."
    scene = _only(text, BulletsScene)
    assert scene.bullets == (
        "\\(D = b^2 - 4ac\\) is it.",
        "If \\(D < 0\\), none; a coffee costs $3 and a tea $2.",
    )
    assert scene.narration == (
        "D equals b squared minus 4 a c is it."
        " If D is less than 0, none; a coffee costs $3 and a tea $2."
    )


def test_formulas_stand_in_headings_cells_quotes_captions_and_quizzes() -> None:
    text = (
        "## Why $x^2$\n\n| Sign | Root |\n|-|-|\n| $r$ | $\\sqrt{x}$ |\n\n> It is $y$.\n\n"
        "![of $a^3$](pic.png)\n\n```quiz\nWhat is $2^3$?\n- [x] $8$\n- $6$\n```\n"
    )
    table, quote, picture, quiz = _lesson(text, "pic.png").scenes
    assert table.model_dump()["heading"] == "Why \\(x^2\\)"
    assert table.model_dump()["rows"] == (("\\(r\\)", "\\(\\sqrt{x}\\)"),)
    assert table.narration == "Sign: r; Root: the square root of x."
    assert quote.model_dump()["quotes"] == ("It is \\(y\\).",)
    assert picture.model_dump()["caption"] == "of \\(a^3\\)"
    assert (picture.narration, quiz.narration) == ("of a cubed.", "What is 2 cubed? 8. 6.")
    assert _lesson("# On $x^2$").title == "On x²"


def test_the_voice_says_formulas_in_the_language_of_the_document() -> None:
    text = "- Die Fläche $a^2$ des Quadrats ist nicht groß und auch nicht klein. Wir messen sie."
    request = StudyRequest.model_validate({"markdown": text, "language": "de"})
    lesson = script_from_request(request)
    assert lesson is not None and "Die Fläche a hoch zwei des" in lesson.scenes[0].narration


def test_code_in_a_sentence_is_no_formula() -> None:
    scene = _only("- Write `\\(a^2\\)` for it.", BulletsScene)
    assert "Write \\(a^2\\) for it." in scene.narration


def test_a_quote_is_a_quote_and_a_note_has_its_label() -> None:
    scene = _only("> Line one\n> and two.\n>\n> Another.", QuoteScene)
    assert scene.quotes == ("Line one and two.", "Another.")
    note = _only("> [!WARNING]\n> Hot!", QuoteScene)
    assert (note.label, note.quotes, note.narration) == ("Warning", ("Hot!",), "Warning. Hot!")


@pytest.mark.parametrize(
    "text",
    [
        "![A cell](images/pic.png)",
        "![A cell](.\\\\images\\\\pic.png)",
        "![A cell](<pic.png?v=2>)",
        "[![A cell](https://example.com/pic.png)](https://example.com)",
        "- ![A cell](pic.png)",
        "> ![A cell](pic.jpg)",
    ],
)
def test_a_picture_is_found_by_its_last_part_wherever_it_stands(text: str) -> None:
    scene = _only(f"# T\n\n{text}", PictureScene, "pic.png")
    assert (scene.image, scene.caption, scene.narration) == ("pic.png", "A cell", "A cell.")


def test_a_picture_in_a_sentence_a_heading_or_a_cell_gets_a_scene() -> None:
    sentence = _only("See ![A cell](pic.png) here.", PictureScene, "pic.png")
    assert (sentence.caption, sentence.narration) == ("A cell", "See A cell here.")
    for text in ("## A ![b](pic.png) c", "|h|\n|-|\n|![b](pic.png)|"):
        assert _only(text, PictureScene, "pic.png").image == "pic.png"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# T\n\n![a](img/other.png)", "line 3: .*'other.png'.*given are pic.png"),
        ("See\n![a](my%20leaf.png)", r"line 2: .*under the name 'my_leaf.png' and write !\[...\]"),
        ("a ![b](https://e.org/c.png) d", "line 1: .*none is fetched"),
    ],
)
def test_a_picture_that_is_not_given_is_refused_with_what_to_write(text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        StudyRequest.model_validate({"markdown": text, "pictures": [PICTURE]})


def test_a_script_whose_picture_is_not_given_is_refused_with_its_scene() -> None:
    scenes = [{"type": "title", "title": "T"}, {"type": "picture", "image": "x.png"}]
    with pytest.raises(ValidationError, match=r"scene 2: there is no picture 'x.png'"):
        StudyRequest.model_validate({"lesson": {"title": "T", "scenes": scenes}})


def test_a_deck_loses_its_settings_and_the_speakers_notes() -> None:
    text = (
        "---\nmarp: true\ntitle: Cells\n---\n\nHello\n=====\n\nAlive.\n\n<!-- ask -->\n\n---\n"
        "layout: cover\n---\n\nParts\n-----\n\n- Nucleus\n"
    )
    lesson = _lesson(text)
    assert lesson.title == "Cells"
    assert [(s.type, s.narration) for s in lesson.scenes] == [
        ("title", "Alive."),
        ("bullets", "Nucleus."),
    ]
    assert [(part.lines, part.reason) for part in lesson.left_out] == [
        ((1, 4), "front matter; its title names the lesson"),
        ((11, 11), "comment"),
        ((14, 15), "settings of a slide"),
    ]


def test_a_first_heading_with_a_colon_is_no_setting_of_a_slide() -> None:
    scene = _only("Cells: a start\n-----\n\n- One", BulletsScene)
    assert scene.heading == "Cells: a start"


def test_marks_addresses_and_tags_are_neither_shown_nor_said() -> None:
    text = (
        "> Plan.\n\nSee [the atlas][1] or <https://example.org/cells>. It costs \\$5, about 3"
        ' &times; less.[^1] <b>Now</b> <br> or never.\n\n[1]: https://example.org/atlas "Atlas"\n'
        "[^1]: Price of 2024.\n"
    )
    [scene] = _lesson(text).scenes
    assert scene.narration == (
        "Plan. See the atlas or example.org. It costs $5, about 3 × less. Now or never."
        " Price of 2024."
    )
    assert {text for text, _ in _left(text)} >= {"<b>", "[1]: https://example.org/atlas Atlas"}


def test_a_long_point_and_a_long_heading_are_whole() -> None:
    point = "the sun warms the sea, " * 40 + "and so it ENDS."
    heading = "a heading of a whole sentence, " * 8 + "with its TAIL"
    lesson = _lesson(f"# Water\n\n- Short\n- {point}\n\n## {heading}\n\nOne line.")
    bullets = lesson.scenes[1]
    assert isinstance(bullets, BulletsScene) and bullets.marks[:3] == ("•", "•", "")
    assert " ".join(bullets.bullets[1:]) == point
    assert point.replace(", ", ", ")[-9:] in bullets.narration
    last = lesson.scenes[-1]
    assert isinstance(last, BulletsScene)
    assert f"{last.heading} {last.narration}" == f"{heading} One line."
    assert "…" not in lesson.model_dump_json()


def test_paragraphs_before_a_list_all_get_scenes() -> None:
    text = "\n\n".join(f"Paragraph {n} says that rivers run to the sea." for n in range(30))
    lesson = _lesson(f"# Rivers\n\n{text}\n\nLAST BEFORE.\n\n- one\n- two")
    said = " ".join(scene.narration for scene in lesson.scenes)
    assert said.split("Rivers. ")[1].startswith("Paragraph 0 says")
    assert "LAST BEFORE. one. two." in said and said.count("Paragraph 29") == 1


def test_the_voice_pauses_between_paragraphs_that_end_without_a_stop() -> None:
    assert _only("First\n\nSecond\n\n- point\n\nLast", BulletsScene).narration == (
        "First. Second. point. Last"
    )


@pytest.mark.parametrize("more", ["", "\n\n---", "\n\n<!-- ask -->", "\n\n# End"])
def test_paragraphs_are_shown_in_a_lesson_that_shows_nothing_else(more: str) -> None:
    lesson = _lesson(f"# Rain\n\nWater rises. It cools.\n\nRain falls.{more}")
    title, text = lesson.scenes[:2]
    assert (title.type, title.narration) == ("title", "Rain.")
    assert isinstance(text, BulletsScene)
    assert text.bullets == ("Water rises.", "It cools.", "Rain falls.")
    assert text.narration == " ".join(text.bullets)


@pytest.mark.parametrize("block", ["- point", "> quote", "$$x$$", "$x$", "```\ncode\n```"])
def test_a_title_card_is_enough_for_its_paragraph_beside_other_blocks(block: str) -> None:
    title, _ = _lesson(f"# Rain\n\nWater rises.\n\n## How\n\n{block}").scenes
    assert (title.type, title.narration) == ("title", "Water rises.")


def test_a_heading_with_nothing_below_it_is_shown_as_a_title() -> None:
    scenes = _lesson("## Alone\n\n## With\n\n- point\n\n## End").scenes
    assert [(s.type, s.narration) for s in scenes] == [
        ("title", "Alone."),
        ("bullets", "point."),
        ("title", "End."),
    ]


def test_what_is_said_after_a_quiz_does_not_give_its_answer_away() -> None:
    quiz = "## Check\n\n```quiz\nWhere?\n- [x] Here\n- There\n```\n\nHere it is."
    assert [(s.type, s.narration) for s in _lesson(quiz).scenes] == [
        ("quiz", "Check. Where? Here. There."),
        ("bullets", "Here it is."),
    ]


def test_a_film_that_would_be_too_long_is_refused_with_its_line() -> None:
    paragraph = ("光合作用是植物利用光能的过程，" * 9 + "好。") * 4
    text = "# Long\n\n" + "\n\n".join([paragraph] * 12)
    with pytest.raises(ValidationError, match=r"markdown, line \d+: the film would be longer"):
        StudyRequest(markdown=text)
    scenes = [{"type": "title", "title": "T", "narration": "word " * 580}] * 10
    with pytest.raises(ValidationError, match=r"lesson, scene \d: the film would be longer"):
        StudyRequest.model_validate({"lesson": {"title": "T", "scenes": scenes}})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_of_byte_order_and_any_line_ends_are_read(mark: str, end: str) -> None:
    text = mark + end.join(["# Title", "", "Text here.", "", "- a", "- b", ""])
    assert [(s.type, s.source_lines) for s in _lesson(text).scenes] == [
        ("title", (1, 1)),
        ("bullets", (3, 6)),
    ]


def test_the_sample_lesson_uses_every_kind_of_scene() -> None:
    lesson = _lesson(CONSTRUCTS.read_text("utf-8"), "leaf.png")
    assert {scene.type for scene in lesson.scenes} == {
        *("title", "bullets", "steps", "table", "quote", "code", "equation", "picture"),
        *("diagram", "plot", "quiz"),
    }
    assert len(lesson.left_out) == 13


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "```quiz\n" + "long question " * 30 + "\n- [x] a\n- b\n```",
            "line 1: the quiz does not fit one picture: ask in at most 200 characters",
        ),
        (
            f"```plot\ny = x\nx label: {'long ' * 20}\n```",
            "line 1: plot: x_label is too long: at most 60 characters",
        ),
    ],
)
def test_a_message_names_what_is_too_long_in_words(text: str, reason: str) -> None:
    with pytest.raises(BadMarkdown, match=reason):
        lesson_from_markdown(text)


def test_a_script_drawn_from_a_topic_names_what_it_leaves_out() -> None:
    points = "".join(f"- Point number {n}\n" for n in range(10))
    topic = f"# Leaves\n\nThey make sugar.\n\n{points}\n```\ncode()\n```\n\n## Last\n\nThe end."
    lesson = lesson_from_outline(extract_lesson_outline(topic), "en", 2, seed=1)
    assert [(part.text, part.reason) for part in lesson.left_out] == [
        ("Last / The end.", "more than max_scenes")
    ]
    assert [(p.text, p.lines, p.reason) for p in left_out_of_topic(topic, lesson)] == [
        ("Point number 8", (13, 13), "no room in the script"),
        ("Point number 9", (14, 14), "no room in the script"),
        ("code()", (16, 18), "code"),
    ]


def test_a_point_that_is_a_part_of_another_word_is_named_when_it_is_left_out() -> None:
    points = "".join(f"- Point number {n}\n" for n in range(8))
    topic = f"# Leaves\n\nThe sunlight falls on them.\n\n{points}- Sun\n"
    lesson = lesson_from_outline(extract_lesson_outline(topic), "en", 12, seed=1)
    assert [part.text for part in left_out_of_topic(topic, lesson)] == ["Sun"]


def test_the_script_of_a_topic_has_no_tags_and_no_latex() -> None:
    topic = "# Areas\n\nThe area is $\\pi r^2$ <b>here</b>.\n\n<div>It <i>grows</i>.</div>\n"
    lesson = lesson_from_outline(extract_lesson_outline(topic), "en", 12, seed=1)
    said = " ".join(scene.narration for scene in lesson.scenes)
    assert "The area is πr² here. It grows." in said
    assert [part.text for part in left_out_of_topic(topic, lesson)][:2] == ["<b>", "</b>"]
