"""Is it the same person in every picture? ``python -m benchmarks.influencer [--json FILE]``

``--count`` personas of combinations that training never saw, each drawn in four scenes by the
influencer generator itself, redraws included, and read back by ``models.tiny.checker``. Three ways
of asking, a column each:

- ``pictures``: the description says no more than "a woman" or "a man";
- ``outfits``: so too, and each picture names another outfit;
- ``described``: outfits, and a description that tells hair and skin.

``hair``, ``skin``, ``scene`` and ``outfit`` (its colour) are shares of pictures;
``all_scenes_same`` is the share of personas whose hair and skin are right in all four.
``likeness_same`` is the mean score of a picture against its own persona, ``likeness_other`` against
those who differ in hair or skin, ``auc`` how often the first is higher. ``first_*`` is the same
without any redraw.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.tiny_models import tiny_inference
from deployments.contract import Persona
from deployments.generators.common.fields import DEFAULT_REDRAWS
from deployments.generators.influencer.generator import InfluencerGenerator
from deployments.generators.influencer.spec import InfluencerRequest
from deployments.worker.context import FetchedInputs, RunContext
from models.memory.plans import MemoryPlan
from models.profiles.load import load_profile
from models.tiny.checker import read_person
from models.tiny.drawing import draw_person
from models.tiny.world import COLORS, SCENES, Person, is_held_out, random_person
from models.vision.identity import IdentityScorer

WAYS = ("pictures", "outfits", "described")
_ULID = "0123456789ABCDEFGHJKMNPQRS"
Figures = dict[str, float]
console = Console()


@dataclass(frozen=True)
class Made:
    """One picture that was drawn, and whom and what it was to show."""

    picture: Image.Image
    person: Person
    reference: Image.Image
    scene: str
    outfit: str | None
    tries: int
    alike: bool


def unseen(count: int, seed: int) -> Iterator[Person]:
    rng = random.Random(seed)
    while count:
        if is_held_out(person := random_person(rng)):
            count -= 1
            yield person


def describe(person: Person, way: str) -> str:
    looks = f" with {person.skin} skin and {person.hair} hair" if way == "described" else ""
    return f"a {person.gender}{looks}"


def drawn(
    generator: InfluencerGenerator,
    person: Person,
    way: str,
    seed: int,
    redraws: int = DEFAULT_REDRAWS,
) -> list[Made]:
    """Four pictures of ``person``, whose reference shows the scene and outfit the world gave it."""
    rng = random.Random(seed)
    reference = Image.fromarray(draw_person(person, rng).picture)
    scenes = rng.sample(SCENES, 4)
    outfits = rng.sample(list(COLORS), 4) if way != "pictures" else [None] * 4
    shots = [
        {"scene": scene, "outfit": outfit and f"a {outfit} shirt"}
        for scene, outfit in zip(scenes, outfits, strict=True)
    ]
    name = f"per_{_ULID}"
    request = InfluencerRequest.model_validate(
        {"person": {"persona_id": name}, "images": shots, "max_redraws": redraws}
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "reference.png"
        reference.save(path)
        persona = Persona(name, "somebody", describe(person, way), (path,))
        context = RunContext(
            seed,
            Path(folder),
            FetchedInputs(personas={name: persona}),
            inference=tiny_inference(),
        )
        artifacts = generator.generate(request, context)
        pictures = [Image.open(made.path).convert("RGB") for made in artifacts[:4]]
    notes = context.notes().values["images"]
    return [
        Made(picture, person, reference, scene, outfit, note["tries"], note["alike"])
        for picture, scene, outfit, note in zip(pictures, scenes, outfits, notes, strict=True)
    ]


def figures(made: Sequence[Made], likeness: IdentityScorer) -> Figures:
    """``made`` has four pictures of each person, one after another."""
    read = [read_person(np.asarray(one.picture)) for one in made]
    pairs = list(zip(read, made, strict=True))
    same = np.array(
        [[r["hair"] == m.person.hair and r["skin"] == m.person.skin] for r, m in pairs]
    ).reshape(-1, 4)
    own, others = likenesses(made, likeness)
    found = {
        "hair": share([r["hair"] == m.person.hair for r, m in pairs]),
        "skin": share([r["skin"] == m.person.skin for r, m in pairs]),
        "hair_and_skin": float(same.mean()),
        "all_scenes_same": float(same.all(axis=1).mean()),
        "scene": share([r["scene"] == m.scene for r, m in pairs]),
        "outfit": share([r["color"] == (m.outfit or m.person.color) for r, m in pairs]),
        "likeness_same": float(np.mean(own)),
        "likeness_other": float(np.mean(others)),
        "auc": float((np.array(own)[:, None] > np.array(others)[None]).mean()),
        "redraws": float(np.mean([m.tries - 1 for m in made])),
        "under_threshold": share([not m.alike for m in made]),
    }
    return {name: round(value, 4) for name, value in found.items()}


def likenesses(made: Sequence[Made], likeness: IdentityScorer) -> tuple[list[float], list[float]]:
    """Scores of each picture against its own persona, and against three who look different."""
    own, others = [], []
    for number, one in enumerate(made):
        own.append(likeness.score([one.reference], one.picture))
        different = [
            other
            for other in made[number % 4 :: 4]
            if (other.person.hair, other.person.skin) != (one.person.hair, one.person.skin)
        ]
        for other in random.Random(number).sample(different, min(3, len(different))):
            others.append(likeness.score([other.reference], one.picture))
    return own, others


def share(values: Sequence[bool]) -> float:
    return float(np.mean(values))


def measure(count: int, seed: int) -> dict[str, Figures]:
    generator = InfluencerGenerator()
    likeness = IdentityScorer.loader(load_profile("tiny")).load(MemoryPlan.RESIDENT, "cpu")
    persons = list(unseen(count, seed))
    table: dict[str, Figures] = {}
    for way in WAYS:
        for redraws, kept in ((0, ("hair_and_skin", "all_scenes_same")), (DEFAULT_REDRAWS, None)):

            def one(number: int, way: str = way, redraws: int = redraws) -> list[Made]:
                return drawn(generator, persons[number], way, seed + number, redraws)

            with ThreadPoolExecutor(2) as pool:
                told = track(pool.map(one, range(count)), way, total=count, console=console)
                made = [picture for four in told for picture in four]
            found = figures(made, likeness)
            if kept is not None:
                table[way] = {f"first_{name}": found[name] for name in kept}
            else:
                table[way] |= found
    return table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.influencer", description=__doc__)
    parser.add_argument("--count", type=int, default=25, help="personas (four pictures each)")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args(argv)
    began = time.monotonic()
    table = measure(given.count, given.seed)
    shown = Table("", *WAYS, title=f"{given.count} personas in four scenes each")
    for name in table[WAYS[0]]:
        shown.add_row(name, *(f"{table[way][name]:.3f}" for way in WAYS))
    console.print(shown)
    console.print(f"{time.monotonic() - began:.0f} s")
    if given.json is not None:
        given.json.write_text(json.dumps({"count": given.count, "figures": table}, indent=2))


if __name__ == "__main__":
    main()
