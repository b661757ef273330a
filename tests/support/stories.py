"""Small story films for tests: made by the generator, with what it was told."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deployments.contract import Artifact, EarlierJob, Persona
from deployments.generators.story_video.generator import StoryVideoGenerator
from deployments.generators.story_video.spec import StoryRequest
from deployments.worker.context import FetchedInputs
from models.tiny.checker import read_person
from tests.support.running_generators import Watched, Watcher, fetched

SMALL = {"resolution": "360p", "fps": 8}
JOB = "job_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"
MIRA = {"name": "Mira", "description": "a woman with pale skin and red hair in a blue shirt"}
SCENES: list[dict[str, Any]] = [
    {
        "title": "Evening",
        "narration": "Mira walked along the beach.",
        "characters": ["Mira"],
        "shot": "Mira at the beach",
        "framing": "wide",
        "transition": "dip_to_black",
    },
    {
        "title": "Night",
        "narration": "The lamp was dark.",
        "characters": ["Mira"],
        "shot": "Mira at night",
        "framing": "close",
    },
    {
        "title": "Search",
        "narration": "So she ran to the city.",
        "characters": ["Mira"],
        "shot": "Mira in the city",
        "transition": "wipe",
    },
    {
        "title": "Light",
        "narration": "And there was light again.",
        "characters": ["Mira"],
        "shot": "Mira in the park",
        "transition": "cut",
    },
]


def board(*scenes: dict[str, Any], cast: tuple[dict[str, Any], ...] = (MIRA,)) -> dict[str, Any]:
    story = {"title": "The lamp", "characters": list(cast), "scenes": list(scenes or SCENES)}
    return {"storyboard": story}


class Made:
    """What one call made."""

    def __init__(self, artifacts: list[Artifact], context: Watched) -> None:
        self.artifacts, self.context, self.notes = artifacts, context, context.notes().values
        self.files = {artifact.path.name: artifact.path for artifact in artifacts}

    @property
    def film(self) -> Path:
        return self.files["story.mp4"]

    @property
    def scenes(self) -> list[tuple[float, float]]:
        """Where each scene begins and ends."""
        clips = [a.duration_s or 0.0 for a in self.artifacts if a.kind == "scene"]
        ends = np.cumsum(clips)
        return list(zip(ends - clips, ends, strict=True))

    def person(self, number: int) -> dict[str, str]:
        """How whoever is in the picture of a scene looks."""
        name = f"scene-{number:02}.png"
        return read_person(np.asarray(Image.open(self.files[name]).convert("RGB")))

    def hash(self, name: str) -> str:
        return hashlib.sha256(self.files[name].read_bytes()).hexdigest()


def make(
    generator: StoryVideoGenerator,
    folder: Path,
    given: dict[str, Any],
    watcher: Watcher | None = None,
    earlier: Made | None = None,
    kept: dict[str, Path] | None = None,
    personas: dict[str, Persona] | None = None,
) -> Made:
    context, request = begun(folder, given, watcher, earlier, kept, personas)
    return Made(generator.generate(request, context), context)


def begun(
    folder: Path,
    given: dict[str, Any],
    watcher: Watcher | None = None,
    earlier: Made | None = None,
    kept: dict[str, Path] | None = None,
    personas: dict[str, Persona] | None = None,
) -> tuple[Watched, StoryRequest]:
    """A job as its generator gets it."""
    request = StoryRequest.model_validate(({} if earlier else SMALL) | given)
    (folder / "work").mkdir(parents=True)
    past = {}
    if earlier is not None:
        past[JOB] = EarlierJob(JOB, "story_video", {}, 7, earlier.files)
    inputs = {} if personas else fetched_inputs(request, folder)
    seed = 7 if request.seed is None else request.seed
    told = FetchedInputs(inputs, personas=personas or {}, earlier=past, kept=kept or {})
    return Watched(seed, folder / "work", told, watcher), request


def fetched_inputs(request: StoryRequest, folder: Path) -> dict[str, Path]:
    return dict(fetched(request.model_copy(update={"earlier": None}), folder / "inputs").inputs)
