"""Lessons that Kokoro speaks, as they are where its packages are installed."""

from pathlib import Path

import pytest

from deployments.generators.study_animation.generator import StudyAnimationGenerator
from models.inference.inference import Inference
from models.inference.local import LocalInference
from models.media.probe import probe
from models.profiles.load import load_profile
from tests.support import lessons
from tests.support.readers import cues_of_film


@pytest.fixture
def neural(monkeypatch: pytest.MonkeyPatch) -> Inference:
    """Models of its own: those that other tests share have loaded another voice."""
    monkeypatch.delenv("ATELIER_SPEECH")
    return LocalInference(load_profile("tiny"))


def test_a_lesson_is_spoken_by_the_neural_voice_in_step_with_its_scenes(
    neural: Inference, tmp_path: Path
) -> None:
    generator = StudyAnimationGenerator()
    made = lessons.make(generator, tmp_path, lessons.lesson(), inference=neural)
    assert made.notes["speech"] == ["kokoro"]
    assert made.notes["voices"] == ["af_heart"]
    assert made.notes["word_times"] == ["exact"]
    assert "kokoro" in made.notes["model"]
    cues = cues_of_film(made.film)
    for (start, end), said in zip(made.scenes, lessons.SCENES, strict=True):
        inside = [cue for cue in cues if start <= cue.start < end]
        assert all(cue.end <= end for cue in inside)
        spoken = " ".join(" ".join(cue.text for cue in inside).split())
        assert spoken.startswith(str(said["narration"]))


def test_the_voice_that_is_named_speaks(neural: Inference, tmp_path: Path) -> None:
    generator = StudyAnimationGenerator()
    scene = lessons.SCENES[0] | {"narration": "Leaves."}
    given = lessons.lesson(scene) | {"voice": "bm_george"}
    made = lessons.make(generator, tmp_path, given, inference=neural)
    assert (made.notes["speech"], made.notes["voices"]) == (["kokoro"], ["bm_george"])
    assert probe(made.film).audio_duration == pytest.approx(made.scenes[-1][1], abs=0.1)
