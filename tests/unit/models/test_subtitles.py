"""Subtitles: readable cues from the times of words, and files that players accept."""

import itertools
from dataclasses import dataclass

import pytest

from models.media.subtitles import (
    GAP_SECONDS,
    LINE_CHARACTERS,
    MAX_SECONDS,
    MIN_SECONDS,
    SHORTEST_SECONDS,
    Cue,
    InvalidSubtitles,
    break_lines,
    clip_cues,
    cues_from_words,
    display_width,
    to_srt,
    to_vtt,
)
from models.text.sentences import words as spans_of
from tests.support.readers import cues_of_srt, cues_of_vtt


@dataclass(frozen=True)
class Word:
    text: str
    start: float
    end: float


@dataclass(frozen=True)
class KnownWord(Word):
    ends_sentence: bool


def spoken(text: str, pace: float = 0.35, at: float = 0.0) -> list[Word]:
    return [
        Word(word, at + n * pace, at + n * pace + 0.8 * pace) for n, word in enumerate(text.split())
    ]


LONG = (
    "A cell turns light into sugar, and it does so with a green pigment that takes the red and the"
    " blue out of white light, which is why the leaves that you see are green and not black at all."
    " Plants need water. Roots bring it."
)


def test_cues_can_be_read_and_say_every_word_when_it_is_spoken() -> None:
    words = spoken(LONG)
    cues = cues_from_words(words)
    assert " ".join(cue.text.replace("\n", " ") for cue in cues) == LONG
    for cue in cues:
        lines = cue.text.split("\n")
        assert len(lines) <= 2
        assert all(len(line) <= LINE_CHARACTERS for line in lines)
        assert cue.end - cue.start <= MAX_SECONDS
    assert all(b.start - a.end >= GAP_SECONDS - 1e-9 for a, b in itertools.pairwise(cues))
    first_words = {cue.text.split()[0]: cue.start for cue in cues}
    assert first_words["Plants"] == next(w.start for w in words if w.text == "Plants")
    assert first_words["Roots"] == next(w.start for w in words if w.text == "Roots")


def test_a_pause_parts_cues_and_a_short_one_stays_as_long_as_it_can() -> None:
    hello, there, you = Word("hello", 0, 0.2), Word("there", 2.0, 2.1), Word("you.", 2.15, 2.3)
    cues = cues_from_words([hello, there, you], end=2.5)
    assert [cue.text for cue in cues] == ["hello", "there you."]
    assert cues[0].end == pytest.approx(MIN_SECONDS)
    assert cues[1].end == pytest.approx(2.5 - GAP_SECONDS)  # the film is over: no 5/6 second


def test_lines_are_balanced_and_wide_letters_count_twice() -> None:
    text = "The mitochondrion is the powerhouse of a cell"
    assert break_lines(text).split("\n") == ["The mitochondrion is", "the powerhouse of a cell"]
    chinese = "光合作用是植物利用光能把二氧化碳和水变成糖并放出氧气的过程这句话没有空格"
    cues = cues_from_words([Word(chinese, 0.0, 6.0)])
    lines = [line for cue in cues for line in cue.text.split("\n")]
    assert "".join(lines) == chinese
    assert all(display_width(line) <= LINE_CHARACTERS for line in lines)


def told(text: str, pace: float = 0.35, language: str = "en") -> list[list[str]]:
    """The lines of each cue of ``text``, spoken without pauses."""
    return [cue.text.split("\n") for cue in cues_from_words(spoken(text, pace), language=language)]


@pytest.mark.parametrize(
    ("language", "text", "cues"),
    [
        (
            "en",
            "Dr. Smith, of the U.S. Navy, nodded at 5 p.m. Everyone left. See Fig. 3 on p. 12, e.g."
            " in Berlin.",
            [
                "Dr. Smith, of the U.S. Navy, nodded at 5 p.m.",
                "Everyone left.",
                "See Fig. 3 on p. 12, e.g. in Berlin.",
            ],
        ),
        (
            "de",
            "Der Kapitän wohnte am 3. Oktober z.B. in Köln. Er hieß Dr. Müller.",
            ["Der Kapitän wohnte am 3. Oktober z.B. in Köln.", "Er hieß Dr. Müller."],
        ),
    ],
)
def test_cues_end_with_sentences_and_not_with_abbreviations(
    language: str, text: str, cues: list[str]
) -> None:
    assert [" ".join(lines) for lines in told(text, 0.5, language)] == cues


@pytest.mark.parametrize("spoken_words", [["Wait!", "Mira", "cried."], ["No.", "Yes.", "No."]])
def test_no_cue_flashes_by(spoken_words: list[str]) -> None:
    cues = cues_from_words(spoken(" ".join(spoken_words), pace=0.3), end=5.0)
    assert all(cue.end - cue.start >= SHORTEST_SECONDS for cue in cues)
    assert " ".join(cue.text for cue in cues).split() == spoken_words


@pytest.mark.parametrize(
    "pair",
    ["Dr. Smith", "Mr. Jones", "J. Verne", "3.5 kg", "12 km", "Fig. 3", "5 p.m.", "20 %", "3. Mai"],
)
def test_no_line_and_no_cue_parts_a_name_or_a_measure(pair: str) -> None:
    language = "de" if "Mai" in pair else "en"
    for before in range(2, 24):
        text = "so " * before + pair + " and then the rest of it went on for quite a while there."
        for lines in told(text, language=language):
            assert all(len(line) <= LINE_CHARACTERS for line in lines) and len(lines) <= 2
            for end in ("Dr.", "Mr.", "J.", "3.5", "12", "Fig.", "5", "20", "3."):
                assert not any(line.split()[-1] == end for line in lines)


def test_chinese_lines_end_with_phrases_and_quotes_add_no_space() -> None:
    text = "商店都关门了，可是有一位老人还醒着，他给了米拉一罐油。"
    assert break_lines(text).split("\n")[0].endswith("，")
    assert break_lines("“油没有了，”米拉说。") == "“油没有了，”米拉说。"


def test_lines_end_with_phrases() -> None:
    text = "She opened the old door, and the cold wind blew out the lamp."
    assert break_lines(text).split("\n")[0] == "She opened the old door,"


def test_a_long_sentence_is_parted_at_its_phrases() -> None:
    cues = [" ".join(lines) for lines in told(LONG)]
    assert all(cue[-1] in ".," or not cue.endswith((" the", " a", " of")) for cue in cues)
    assert all(len(cue) >= 12 for cue in cues)


def test_a_cue_stays_long_enough_to_be_read() -> None:
    text = "Sixty letters said within a second need three of them to read."
    [cue] = cues_from_words(spoken(text, pace=0.1), end=10.0)
    assert len(text) / (cue.end - cue.start) <= 20.5


def test_words_that_know_their_sentence_part_cues_without_a_stop() -> None:
    heard = [KnownWord("Bread", 0.0, 0.6, True), KnownWord("Milk", 0.8, 1.5, True)]
    assert [cue.text for cue in cues_from_words(heard)] == ["Bread", "Milk"]


def test_a_long_sentence_without_spaces_is_parted_in_linear_time() -> None:
    text = "光合作用，" * 400
    spans = enumerate(spans_of(text))
    letters = [Word(text[a:b], n * 0.2, n * 0.2 + 0.2) for n, (a, b) in spans]
    lines = [line for cue in cues_from_words(letters) for line in cue.text.split("\n")]
    assert "".join(lines) == text
    assert not any(line.startswith("，") for line in lines)


CUES = [
    Cue(0.5, 2.25, "if a < b & {x} then <i>stop</i>\nelse go"),
    Cue(3600.001, 3661.999, "Mädchen 雨"),
]


def test_another_library_reads_what_was_written() -> None:
    assert cues_of_srt(to_srt(CUES)) == CUES
    assert cues_of_vtt(to_vtt(CUES)) == CUES
    assert "1\n00:00:00,500 --> 00:00:02,250\nif a < b & {x}" in to_srt(CUES)
    assert to_vtt(CUES).startswith("WEBVTT\n\n00:00:00.500 --> 00:00:02.250\nif a &lt; b &amp; {x}")
    assert "01:00:00.001 --> 01:01:01.999" in to_vtt(CUES)


def test_no_text_can_break_out_of_its_cue() -> None:
    evil = [Cue(0, 1, "one\n\n2\n00:00:00,000 --> 00:00:09,000\ntwo")]
    assert len(cues_of_srt(to_srt(evil))) == len(cues_of_vtt(to_vtt(evil))) == 1


def test_a_cue_that_cannot_be_shown_is_refused() -> None:
    with pytest.raises(InvalidSubtitles, match="from 2 s to 2 s"):
        Cue(2, 2, "Hi")
    with pytest.raises(InvalidSubtitles, match="no text"):
        Cue(0, 1, " \n")


def test_a_scene_is_moved_to_its_place_and_cut_at_the_end_of_the_film() -> None:
    cues = clip_cues([Cue(0, 1, "a"), Cue(1, 3, "b"), Cue(4, 5, "c")], end=12, offset=10)
    assert cues == [Cue(10, 11, "a"), Cue(11, 12, "b")]
