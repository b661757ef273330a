"""How long a lesson will be, from its script alone: what it is priced by."""

from __future__ import annotations

import unicodedata

from models.schemas.drawn_scenes import DiagramScene, EquationScene
from models.schemas.lesson import (
    BulletsScene,
    Lesson,
    QuizScene,
    QuoteScene,
    Scene,
    StepsScene,
    TableScene,
)

_LETTERS_A_SECOND = 14.0  # of alphabets, by voices at their usual speed
_WIDE_A_SECOND = 4.5  # of Chinese, Japanese and Korean letters
_PAUSES = 1.0
_SILENT, _EACH = 2.5, 0.7


def lesson_seconds(lesson: Lesson, speed: float) -> float:
    """About how long the film of ``lesson`` is."""
    return sum(scene_seconds(scene, speed) for scene in lesson.scenes)


def scene_seconds(scene: Scene, speed: float) -> float:
    """About how long one scene is; more to say or to show never makes it shorter."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in scene.narration)
    letters = len(scene.narration) - wide
    spoken = (letters / _LETTERS_A_SECOND + wide / _WIDE_A_SECOND) / speed + _PAUSES
    shown, pause = _SILENT + _EACH * _item_count(scene), 0.0
    if isinstance(scene, QuizScene):
        pause = scene.pause_s
        spoken += 2.0  # the answer is spoken too
    return max(spoken + pause, shown + pause, scene.min_seconds or 0.0)


def _item_count(scene: Scene) -> int:
    """How many things appear one after another."""
    if isinstance(scene, BulletsScene):
        return len(scene.bullets)
    if isinstance(scene, StepsScene):
        return len(scene.steps)
    if isinstance(scene, TableScene):
        return len(scene.rows)
    if isinstance(scene, QuoteScene):
        return len(scene.quotes)
    if isinstance(scene, EquationScene):
        return len(scene.terms)
    if isinstance(scene, DiagramScene):
        return len(scene.nodes) + len(scene.edges)
    if isinstance(scene, QuizScene):
        return len(scene.choices) + 1
    return 1
