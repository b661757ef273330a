"""Is it the same person in every scene of a story? ``python -m benchmarks.story [--json FILE]``

``--count`` story films of four scenes, each about one person of a combination that training never
saw, made by the story generator itself, redraws included; the pictures of the scenes are read back
by ``models.tiny.checker``. Two ways of saying who it is, a column each:

- ``described``: the storyboard describes the character in words;
- ``persona``: the character is a persona, whose one picture shows another scene.

``hair``, ``skin`` and ``scene`` are shares of pictures; ``hair_and_skin`` of those with both;
``all_scenes_same`` is the share of films in which both are right in all four; ``taken_for_alike``
that of pictures whose own likeness score reached the threshold.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.influencer import share, unseen
from benchmarks.tiny_models import tiny_inference
from deployments.contract import Persona
from deployments.generators.story_video.generator import StoryVideoGenerator
from deployments.generators.story_video.spec import StoryRequest
from deployments.worker.context import FetchedInputs, RunContext
from models.tiny.checker import read_person
from models.tiny.drawing import draw_person
from models.tiny.world import SCENES
from models.tiny.world import Person as Doll

WAYS = ("described", "persona")
PERSONA = "per_0123456789ABCDEFGHJKMNPQRS"
PLACES = {
    "beach": "at the beach", "park": "in the park", "city": "in the city", "room": "in a room",
    "night": "at night",
}  # fmt: skip
Figures = dict[str, float]
console = Console()


@dataclass(frozen=True)
class Shown:
    """A scene's picture, whom it was to show and where."""

    picture: np.ndarray[Any, Any]
    person: Doll
    scene: str
    alike: bool


def filmed(generator: StoryVideoGenerator, person: Doll, way: str, seed: int) -> list[Shown]:
    """The four pictures of a film about ``person``."""
    rng = random.Random(seed)
    places = rng.sample(SCENES, 4)
    looks = f"a {person.gender} with {person.skin} skin and {person.hair} hair"
    character = {"name": "Mira", "description": f"{looks} in a {person.color} {person.garment}"}
    if way == "persona":
        character = {"name": "Mira", "persona_id": PERSONA, "description": f"a {person.gender}"}
    scenes = [
        {"narration": "Then.", "characters": ["Mira"], "shot": f"Mira {PLACES[place]}"}
        for place in places
    ]
    board = {"title": "Mira", "characters": [character], "scenes": scenes}
    request = StoryRequest.model_validate({"storyboard": board, "resolution": "360p", "fps": 8})
    with TemporaryDirectory() as folder:
        shown = Path(folder) / "mira.png"
        Image.fromarray(draw_person(person, rng).picture).save(shown)
        persona = Persona(PERSONA, "Mira", f"a {person.gender}", (shown,))
        work = Path(folder) / "work"
        work.mkdir()
        context = RunContext(
            seed, work, FetchedInputs(personas={PERSONA: persona}), inference=tiny_inference()
        )
        generator.generate(request, context)
        notes = context.notes().values["pictures"]
        return [
            Shown(_picture(work / note["name"]), person, place, note["alike"])
            for note, place in zip(notes, places, strict=True)
        ]


def _picture(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def figures(shown: Sequence[Shown]) -> Figures:
    """``shown`` has four pictures of each film, one after another."""
    read = [(one, read_person(one.picture)) for one in shown]
    same = [r["hair"] == one.person.hair and r["skin"] == one.person.skin for one, r in read]
    found = {
        "hair": share([r["hair"] == one.person.hair for one, r in read]),
        "skin": share([r["skin"] == one.person.skin for one, r in read]),
        "hair_and_skin": share(same),
        "all_scenes_same": float(np.array(same).reshape(-1, 4).all(axis=1).mean()),
        "scene": share([r["scene"] == one.scene for one, r in read]),
        "taken_for_alike": share([one.alike for one in shown]),
    }
    return {name: round(value, 4) for name, value in found.items()}


def measure(count: int, seed: int) -> dict[str, Figures]:
    generator = StoryVideoGenerator()
    people = list(enumerate(unseen(count, seed)))
    return {
        way: figures(
            [
                one
                for number, person in track(people, way, console=console)
                for one in filmed(generator, person, way, seed + number)
            ]
        )
        for way in WAYS
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.story", description=__doc__)
    parser.add_argument("--count", type=int, default=25, help="films of four scenes, each way")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args(argv)
    began = time.monotonic()
    table = measure(given.count, given.seed)
    shown = Table("", *WAYS, title=f"{given.count} films of four scenes each")
    for name in table[WAYS[0]]:
        shown.add_row(name, *(f"{table[way][name]:.3f}" for way in WAYS))
    console.print(shown)
    console.print(f"{time.monotonic() - began:.0f} s")
    if given.json is not None:
        given.json.write_text(json.dumps({"count": given.count, "figures": table}, indent=2))


if __name__ == "__main__":
    main()
