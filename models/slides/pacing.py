"""Time the beats of a scene when only its duration is known."""

from __future__ import annotations

from models.schemas.lesson import QuizScene, Scene

LEAD_SECONDS = 0.6  # the heading is read first
TAIL_SECONDS = 1.5  # the last thing is looked at
SECONDS_PER_BEAT = 0.7


def min_scene_seconds(scene: Scene, beats: int) -> float:
    """Return the minimum seconds in which all beats of ``scene`` can be seen."""
    pause = scene.pause_s if isinstance(scene, QuizScene) else 0.0
    return max(
        scene.min_seconds or 0.0, LEAD_SECONDS + SECONDS_PER_BEAT * beats + pause + TAIL_SECONDS
    )


def spread_beats(scene: Scene, beats: int, seconds: float) -> tuple[float, ...]:
    """Distribute beats evenly over a scene of ``seconds``; a quiz's answer follows its pause."""
    tail = min(TAIL_SECONDS, seconds / 4)
    lead = min(LEAD_SECONDS, seconds / 8)
    if not isinstance(scene, QuizScene):
        step = max(seconds - lead - tail, 0.0) / max(beats, 1)
        return tuple(lead + step * index for index in range(beats))
    answer = max(seconds - max(tail, min(2.5, seconds / 5)), 0.0)
    asked = max(answer - scene.pause_s, lead)
    step = (asked - lead) / max(beats - 1, 1)
    return (*(lead + step * index for index in range(beats - 1)), answer)
