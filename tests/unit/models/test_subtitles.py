"""Subtitles: readable cues from the times of words, and files that players accept."""

import itertools
from dataclasses import dataclass

import pytest

from models.media.subtitles import (
    GAP_SECONDS,
    LINE_CHARACTERS,
    MAX_SECONDS,
    MIN_SECONDS,
    Cue,
    InvalidSubtitles,
    break_lines,
    clip_cues,
    cues_from_words,
    display_width,
    to_srt,
    to_vtt,
)
from tests.support.readers import cues_of_srt, cues_of_vtt


@dataclass(frozen=True)
class Word:
    text: str
    start: float
    end: float


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
    assert break_lines(text).split("\n") == ["The mitochondrion is the", "powerhouse of a cell"]
    chinese = "光合作用是植物利用光能把二氧化碳和水变成糖并放出氧气的过程这句话没有空格"
    cues = cues_from_words([Word(chinese, 0.0, 6.0)])
    lines = [line for cue in cues for line in cue.text.split("\n")]
    assert "".join(lines) == chinese
    assert all(display_width(line) <= LINE_CHARACTERS for line in lines)


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
