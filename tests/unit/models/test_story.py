"""Stories: every word is told in its order, or left out with a reason."""

import os
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.generators.story_video.script import storyboard_from_outline
from models.text.story import is_scene_break, read_story
from models.text.story_outline import cut_text, extract_story_outline

EXAMPLES = int(os.environ.get("STORY_EXAMPLES", "500"))
WORDS, LETTERS = r"[^\W_]+", r"[^\W_]"


def lost_or_moved(story: str, most: int = 24, unit: str = WORDS) -> str | None:
    """What is wrong with the storyboard of ``story``, if anything."""

    def words(text: str) -> list[str]:
        return re.findall(unit, text)

    board = storyboard_from_outline(extract_story_outline(story), most)
    told = [word for scene in board.scenes for word in words(scene.narration)]
    left_out = Counter(word for entry in read_story(story).left_out for word in words(entry.text))
    if Counter(words(story)) != Counter(told) + left_out:
        lost = Counter(words(story)) - Counter(told) - left_out
        return f"lost {lost}, invented {Counter(told) + left_out - Counter(words(story))}"
    source = iter(words(story))
    return None if all(word in source for word in told) else f"moved: {told}"


_NAMES = st.sampled_from(
    [
        "Ana",
        "Tomás",
        "Müller",
        "łódź",
        "маяк",
        "фонарь",
        "sea",
        "night",
        "don't",
        "O’Neil",
        "12",
        "1987",
        "灯塔",
        "米拉",
        "ليلى",
        "नदी",
        "Dr.",
        "U.S.",
    ]
)
_SENTENCES = st.lists(_NAMES, min_size=1, max_size=12).map(" ".join)
_ENDED = st.tuples(_SENTENCES, st.sampled_from(".!?…。।؟")).map("".join)
_PROSE = st.lists(_ENDED, min_size=1, max_size=6).map(" ".join)
_DIALOGUE = st.lists(
    st.tuples(st.sampled_from(("- ", "– ", "— ", "—", "* ", "+ ", "• ")), _ENDED).map("".join),
    min_size=1,
    max_size=4,
).map("\n".join)
_NUMBERED = st.lists(
    st.tuples(st.integers(1, 2000), st.sampled_from((". ", ") ")), _SENTENCES).map(
        lambda parts: f"{parts[0]}{parts[1]}{parts[2]}."
    ),
    min_size=1,
    max_size=4,
).map("\n".join)
_CHAPTER = st.tuples(st.sampled_from(("# ", "## ", "Chapter 3: ", "")), _SENTENCES).map("".join)
_BREAK = st.sampled_from(
    (
        "***",
        "* * *",
        "###",
        "# # #",
        "---",
        "⁂",
        "~~~",
        "§",
        "❦",
        "- - -",
        "____",
        "=",
        "•",
        "     *",
    )
)
_BLOCKS = st.one_of(_PROSE, _DIALOGUE, _NUMBERED, _CHAPTER, _BREAK)
_STORIES = st.tuples(
    st.sampled_from(("", "\ufeff")),
    st.lists(
        st.tuples(_BLOCKS, st.sampled_from(("\n\n", "\n", "\n \n\n"))), min_size=1, max_size=14
    ),
    st.sampled_from(("\n", "\r\n", "\r")),
).map(lambda s: s[0] + "".join(a + b for a, b in s[1]).replace("\n", s[2]))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_STORIES, st.integers(1, 24))
def test_every_word_is_told_once_in_its_order_or_left_out(story: str, most: int) -> None:
    assert lost_or_moved(story, most) is None


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(alphabet="ab1 \n\t-*#_~>[]().|=:!`+$^x<", min_size=1, max_size=200))
def test_no_mark_of_markdown_makes_letters_disappear(story: str) -> None:
    assert lost_or_moved(story, unit=LETTERS) is None  # marks within a word join its parts


def narrations(story: str, **options: str) -> list[str]:
    return [scene.narration for scene in extract_story_outline(story, **options).scenes]


@pytest.mark.parametrize("dash", ["-", "–", "—"])
def test_a_dialogue_is_told_in_the_order_in_which_it_is_written(dash: str) -> None:
    story = (
        f"La llave\n\nAna abrió.\n\n{dash} ¿Traes la llave? {dash} preguntó Tomás.\n"
        f"{dash} Sí {dash} dijo Ana.\n\nTomás sonrió.\n\n{dash} Bien {dash} dijo.\n\n"
        "Ana miró el mar."
    )
    board = extract_story_outline(story, "es")
    told = " ".join(scene.narration for scene in board.scenes)
    order = ["abrió", "preguntó", "Sí", "sonrió", "Bien", "miró"]
    assert sorted(order, key=told.index) == order
    assert (board.title, "La llave" in told) == ("La llave", False)


def test_numbered_lines_keep_their_numbers_and_their_place() -> None:
    story = (
        "They fled.\n\n1. The storm came.\n2. The boat sank.\n\n1987. It was over.\n\n12. An end."
    )
    assert "\n\n".join(narrations(story)).split("\n\n") == [
        "They fled.",
        "1. The storm came.",
        "2. The boat sank.",
        "1987. It was over.",
        "12. An end.",
    ]


@pytest.mark.parametrize(
    "mark",
    ["***", "* * *", "###", "# # #", "---", "- - -", "⁂", "~~~", "§", "❦", "◇ ◇ ◇", "___", "===",
     "•", "· · ·", "      * * *", "\t#", "+ + +", "—"],
)  # fmt: skip
@pytest.mark.parametrize("blank", ["\n\n", "\n"])
def test_an_ornament_parts_scenes_and_is_not_told(mark: str, blank: str) -> None:
    between = f"{blank}{mark}{blank}"
    story = f"The Lamp\n\nMira lit it.{between}The oil was gone.{between}End."
    board = extract_story_outline(story)
    assert board.title == "The Lamp"
    assert [s.narration for s in board.scenes] == ["Mira lit it.", "The oil was gone.", "End."]
    assert [s.title for s in board.scenes] == ["Mira lit it.", "The oil was gone.", "End."]


@pytest.mark.parametrize("line", ["…", "?!", "“", "Ω", "7", "...", "|---|"])
def test_what_is_read_is_no_ornament(line: str) -> None:
    assert not is_scene_break(line)


@pytest.mark.parametrize("heading", ["# {}", "## {}", "{}\n==="])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_short_chapters_keep_their_titles(heading: str, end: str) -> None:
    names = ["Dawn", "Noon", "Dusk"]
    story = "\ufeff" + "".join(f"{heading.format(name)}\n\nIt was {name}.\n\n" for name in names)
    board = extract_story_outline(story.replace("\n", end))
    assert [scene.title for scene in board.scenes] == names
    made = storyboard_from_outline(board, 2)
    assert [scene.title for scene in made.scenes] == ["Dawn – Noon", "Dusk"]
    assert "It was Noon." in made.scenes[0].narration


@pytest.mark.parametrize(
    "line", ["Chapter 1", "CHAPTER ONE", "Kapitel 2: Der Sturm", "Capítulo III", "第一章 灯塔",
             "II", "3", "4.", "Prologue", "Erstes Kapitel", "Глава 5"],
)  # fmt: skip
def test_chapter_lines_are_titles(line: str) -> None:
    story = f"The Lamp\n\nMira lit it.\n\n{line}\n\nThe oil was gone."
    board = extract_story_outline(story)
    assert [s.title for s in board.scenes] == ["Mira lit it.", line]
    assert [s.narration for s in board.scenes] == ["Mira lit it.", "The oil was gone."]
    assert (line, "chapter_title") in read_story(story).left_out


@pytest.mark.parametrize("line", ["Part of the crew left.", "I saw it.", "Chapter 1 was over!"])
def test_a_sentence_is_no_chapter_line(line: str) -> None:
    assert line in "\n\n".join(narrations(f"Mira slept.\n\n{line}\n\nShe woke."))


def test_a_title_may_stand_right_above_the_text_but_a_wrapped_line_is_none() -> None:
    titled = read_story("The lamp\nMira was a woman with red hair. She lit the lamp.")
    assert (titled.title, titled.parts[0].paragraphs[0][:4]) == ("The lamp", "Mira")
    wrapped = read_story("Mira was a woman with red\nHair and a lamp. She lit it.\n\nIt burned.")
    assert wrapped.title == "" and wrapped.parts[0].paragraphs[0].startswith("Mira was")


@pytest.mark.parametrize("first", ["Fire!", "Who was it?", "“Come in”", "— Ven", "It was late."])
def test_a_first_line_that_is_said_is_no_title(first: str) -> None:
    assert narrations(f"{first}\n\nMira ran.")[0].startswith(first)


def test_what_is_not_told_is_named_with_its_reason() -> None:
    story = read_story(
        "---\nauthor: Ana\n---\n\n# The Lamp\n\nMira <!-- red? --> lit [it](http://a.b).[^1]\n\n"
        "```\nprint()\n```\n\n- [x] done\n\n[^1]: At night."
    )
    assert {(entry.text, entry.reason) for entry in story.left_out} == {
        ("author: Ana", "front_matter"),
        ("The Lamp", "title"),
        ("<!-- red? -->", "comment"),
        ("http://a.b", "link_address"),
        ("print()", "code"),
        ("[x]", "check_box"),
        ("1", "footnote_mark"),
    }


def test_the_longest_story_fits_into_as_many_scenes_as_it_is_charged_for() -> None:
    words_of = " ".join(f"word{n}" for n in range(2100))
    for story in (words_of[:19_200], words_of[:19_200].replace("7 ", "7. So "), "x" * 19_200):
        board = storyboard_from_outline(extract_story_outline(story[:19_200]), 12)
        assert len(board.scenes) <= 12
        told = "".join(scene.narration for scene in board.scenes)
        assert "".join(told.split()) == "".join(story[:19_200].split())


def test_pieces_of_a_text_join_to_the_text() -> None:
    text = "One is short. Two is longer than one.\n\nThree. " + "x" * 50
    pieces = list(cut_text(text, 30))
    assert all(len(piece) <= 30 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_heading_that_nothing_follows_is_told() -> None:
    story = read_story("# One\n\nMira ran.\n\n# The End\n\n# Really")
    assert [part.paragraphs for part in story.parts] == [("Mira ran.",), ("The End",), ("Really",)]
    assert story.left_out == (("One", "chapter_title"),)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["# a\n", "~~~ a\n", "*\n", "``` x\n", "- ", "II\n\n", "<!-- "])
def test_any_story_is_read_in_linear_time(piece: str) -> None:
    assert read_story(piece * (20_000 // len(piece))) is not None
