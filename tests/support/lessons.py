"""Small lesson films for tests: made by the generator, with what it was told."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from deployments.contract import Artifact, EarlierJob
from deployments.generators.study_animation.generator import StudyAnimationGenerator
from deployments.generators.study_animation.spec import StudyRequest
from deployments.worker.context import FetchedInputs
from models.inference.inference import Inference
from tests.support.running_generators import Watched, fetched

SMALL = {"resolution": "360p", "fps": 8}
JOB = "job_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"
SCENES: list[dict[str, Any]] = [
    {"type": "title", "title": "Leaves", "narration": "This is about leaves."},
    {
        "type": "bullets",
        "heading": "They need",
        "bullets": ["Water", "Light"],
        "narration": "First of all they need some water, and light.",
    },
    {
        "type": "quiz",
        "question": "What colour?",
        "choices": ["Red", "Green"],
        "answer": 1,
        "pause_s": 1,
        "narration": "What colour do they have?",
    },
]


class Made:
    """What one call made."""

    def __init__(self, artifacts: list[Artifact], context: Watched) -> None:
        self.artifacts, self.notes = artifacts, context.notes().values
        self.files = {artifact.path.name: artifact.path for artifact in artifacts}
        self.film = self.files["lesson.mp4"]
        self.kept = {path.name: path for path in context.take_files_to_keep()}

    @property
    def scenes(self) -> list[tuple[float, float]]:
        """Where each scene begins and ends."""
        clips = [a.duration_s or 0.0 for a in self.artifacts if a.kind == "scene"]
        ends = np.cumsum(clips)
        return list(zip(ends - clips, ends, strict=True))

    def hash(self, name: str) -> str:
        return hashlib.sha256(self.files[name].read_bytes()).hexdigest()


def make(
    generator: StudyAnimationGenerator,
    folder: Path,
    given: dict[str, Any],
    watcher: Any = None,
    earlier: Made | None = None,
    kept: dict[str, Path] | None = None,
    inference: Inference | None = None,
) -> Made:
    request = StudyRequest.model_validate(SMALL | given)
    (folder / "work").mkdir(parents=True)
    past = {}
    if earlier is not None:
        past[JOB] = EarlierJob(JOB, "study_animation", {}, 7, earlier.files)
    inputs = fetched(request.model_copy(update={"earlier": None}), folder / "inputs").inputs
    given_files = FetchedInputs(inputs, earlier=past, kept=kept or {})
    context = Watched(7, folder / "work", given_files, watcher, inference)
    return Made(generator.generate(request, context), context)


def lesson(*scenes: dict[str, Any], language: str = "en") -> dict[str, Any]:
    return {"lesson": {"title": "Leaves", "language": language, "scenes": list(scenes or SCENES)}}
