"""What the voice says in each scene, and when the things of the scene appear to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from deployments.generators.scene_film.narration import speak
from deployments.generators.scene_film.settings import FilmSettings
from deployments.generators.study_animation.table_text import row_text
from models.formulas.inline import spoken_line
from models.inference.inference import Inference
from models.media.timeline import PlacedPart, concat_speeches
from models.schemas.lesson import (
    BulletsScene,
    QuizScene,
    QuoteScene,
    Scene,
    StepsScene,
    TableScene,
)
from models.slides.pacing import spread_beats
from models.speech.speech import Speech, Word
from models.text.sentences import words as spans_of

_REVEAL_LEAD_S = 0.15  # seconds by which a thing is there before its first word
_MATCH_RATIO = 0.6  # of a point's words have to be said for it to be found
_SPARE_WORDS = 3


@dataclass(frozen=True)
class Narration:
    """A scene's narration; the answer of a quiz is given ``answer_at`` seconds into it."""

    speech: Speech | None
    answer_at: float | None = None


SILENT = Narration(None)


def narrate_scene(
    inference: Inference,
    scene: Scene,
    settings: FilmSettings,
    on_sentence: Callable[[], None],
) -> Narration:
    """Speak ``scene``; of a quiz also the right choice, after the pause.

    Raises:
        SpeechError: no voice can say it.
    """

    def said(text: str) -> Speech:
        words = spoken_line(text, settings.language)
        return speak(inference, words, settings, on_sentence)

    if not _has_words(scene.narration):
        return SILENT
    speech = said(scene.narration)
    if not isinstance(scene, QuizScene):
        return Narration(speech)
    answer_at = speech.duration + scene.pause_s
    answer = scene.choices[scene.answer]
    if _has_words(answer):
        speech = concat_speeches([speech, said(answer)], scene.pause_s + 2 * _REVEAL_LEAD_S)
    return Narration(speech, answer_at)


def reveal_times(
    scene: Scene, beats: int, placed: PlacedPart, said: Narration, language: str
) -> tuple[float, ...]:
    """When each of ``beats`` things appears, in seconds of the scene; never falling.

    A bullet, step or choice comes when the voice begins to say it, where the narration says it; the
    answer of a quiz after its pause. Whatever is not said comes evenly between its neighbours.
    """
    even = spread_beats(scene, beats, placed.seconds)
    points = [spoken_line(point, language) for point in _points(scene)]
    known = dict(match_points(points, placed.words())) if len(points) <= beats else {}
    if not isinstance(scene, QuizScene) or said.answer_at is None:
        return _interpolate(even, known, placed.seconds)
    answer = placed.part.lead_s + said.answer_at
    asked = answer - scene.pause_s  # from here on there is time to think: all choices are there
    shrunk = tuple(asked * time / max(even[-1], 1e-6) for time in even[:-1])
    return (*_interpolate(shrunk, known, asked), answer)


def match_points(points: Sequence[str], said: Sequence[Word]) -> list[tuple[int, float]]:
    """(index, seconds) of the points that are said, in their order."""
    spoken = [_normalized(word.text) for word in said]
    found: list[tuple[int, float]] = []
    after = 0
    for index, point in enumerate(points):
        wanted = [_normalized(point[span.start : span.end]) for span in spans_of(point)]
        at = _find_phrase(wanted, spoken, after)
        if at is not None:
            found.append((index, max(said[at].start - _REVEAL_LEAD_S, 0.0)))
            after = at + 1
    return found


def _points(scene: Scene) -> tuple[str, ...]:
    if isinstance(scene, BulletsScene):
        return scene.bullets
    if isinstance(scene, StepsScene):
        return scene.steps
    if isinstance(scene, QuizScene):
        return scene.choices
    if isinstance(scene, QuoteScene):
        return scene.quotes
    if isinstance(scene, TableScene):
        return tuple(row_text(scene.header, row) for row in scene.rows)
    return ()


def _find_phrase(wanted: list[str], spoken: list[str], after: int) -> int | None:
    """Where in ``spoken`` most of ``wanted`` is said first, from ``after`` on."""
    need = set(wanted)
    for at in range(after, len(spoken)):
        if need and spoken[at] in need:
            window = set(spoken[at : at + len(wanted) + _SPARE_WORDS])
            if len(need & window) >= _MATCH_RATIO * len(need):
                return at
    return None


def _interpolate(
    even: tuple[float, ...], known: dict[int, float], seconds: float
) -> tuple[float, ...]:
    """``even`` stretched so that it goes through what is ``known``."""
    if not known:
        return even
    times = list(even)
    marks = sorted(known.items())
    first, last = marks[0], marks[-1]
    for index in range(first[0]):
        times[index] = min(even[index], first[1] * (index + 1) / (first[0] + 1))
    for (left, begin), (right, end) in pairwise(marks):
        for index in range(left + 1, right):
            times[index] = begin + (end - begin) * (index - left) / (right - left)
    for index in range(last[0] + 1, len(times)):
        times[index] = max(even[index], last[1])
    for index, time in marks:
        times[index] = time
    for index in range(1, len(times)):
        times[index] = max(times[index], times[index - 1])
    return tuple(min(max(time, 0.0), seconds) for time in times)


def _has_words(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _normalized(word: str) -> str:
    return re.sub(r"\W", "", word.casefold())
