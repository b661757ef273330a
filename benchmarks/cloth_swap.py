"""Does the garment picture decide? ``python -m benchmarks.cloth_swap [--json FILE]``

``--count`` people of combinations that training never saw put on garments of other such
combinations, by the cloth swap generator itself, and the results are read back by
``models.tiny.checker``. Three ways, a column each:

- ``flat``: the garment lies by itself, person and garment 64 pixels a side as the pack draws them;
- ``worn``: the garment is taken off the picture of somebody else;
- ``photo``: flat, both pictures eight times as large, as photos are.

``color`` and ``pattern`` are shares of results that show the garment's; ``same_person`` those whose
hair and skin stayed; ``outside`` those with every pixel outside the returned mask unchanged, and
``refused`` the share of cases in which a usable picture was not taken.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from deployments.contract import BadInput
from deployments.generators.cloth_swap.generator import ClothSwapGenerator
from deployments.generators.cloth_swap.spec import ClothSwapRequest
from deployments.worker.context import FetchedInputs, RunContext
from models.tiny.checker import read_person
from models.tiny.drawing import draw_person
from models.tiny.world import SIZE, Person

WAYS = ("flat", "worn", "photo")
LARGER = 8
MEDIA = {"data": "data:image/png;base64,AA=="}  # the files are handed over beside the request
Figures = dict[str, float]
console = Console()


@dataclass(frozen=True)
class Case:
    """Who is dressed, and in whose garment."""

    wearer: Person
    giver: Person
    person: Image.Image
    garment: Image.Image


@dataclass(frozen=True)
class Dressed:
    """What came of a case; the pictures are the generator's own files."""

    case: Case
    result: Image.Image
    mask: Image.Image


def cases(count: int, seed: int, way: str) -> list[Case]:
    """The same people and garments whatever the ``way``."""
    rng = random.Random(seed)
    found = []
    for wearer, giver in zip(unseen(count, seed), unseen(count, seed + 1), strict=True):
        giver = replace(giver, garment=wearer.garment, gender=wearer.gender)
        drawn, given = draw_person(wearer, rng), draw_person(giver, rng)
        person = Image.fromarray(drawn.picture)
        garment = Image.fromarray(given.picture if way == "worn" else given.garment)
        if way == "photo":
            person, garment = _enlarged(person), _enlarged(garment)
        found.append(Case(wearer, giver, person, garment))
    return found


def _enlarged(picture: Image.Image) -> Image.Image:
    return picture.resize((SIZE * LARGER,) * 2, Image.Resampling.BICUBIC)


def dressed(
    generator: ClothSwapGenerator, case: Case, way: str, seed: int, **fields: Any
) -> Dressed | None:
    """What the generator made of ``case``; ``None`` if it refused it."""
    garment = {"image": MEDIA, "kind": "worn" if way == "worn" else "flat"}
    request = ClothSwapRequest.model_validate(
        {"person_image": MEDIA, "garments": [garment], **fields}
    )
    with TemporaryDirectory() as folder:
        inputs = {}
        for name, picture in (("person_image", case.person), ("garments.0.image", case.garment)):
            inputs[name] = Path(folder) / f"{name}.png"
            picture.save(inputs[name])
        context = RunContext(
            seed, Path(folder), FetchedInputs(inputs=inputs), inference=tiny_inference()
        )
        try:
            made = generator.generate(request, context)
        except BadInput:
            return None
        by_kind = {artifact.kind: artifact.path for artifact in made}
        with Image.open(by_kind["image"]) as result, Image.open(by_kind["mask"]) as mask:
            return Dressed(case, result.convert("RGB"), mask.convert("L"))


def figures(made: Sequence[Dressed | None]) -> Figures:
    done = [one for one in made if one is not None]
    read = [(one, read_person(_small(one.result)), read_person(_small(one.case.person)))
            for one in done]  # fmt: skip
    found = {
        "color": share([after["color"] == one.case.giver.color for one, after, _ in read]),
        "pattern": share([after["pattern"] == one.case.giver.pattern for one, after, _ in read]),
        "same_person": share(
            [all(after[n] == before[n] for n in ("hair", "skin")) for _, after, before in read]
        ),
        "outside": share([_outside_unchanged(one) for one in done]),
        "refused": share([one is None for one in made]),
    }
    return {name: round(value, 4) for name, value in found.items()}


def _small(picture: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX))


def _outside_unchanged(one: Dressed) -> bool:
    outside = np.asarray(one.mask) == 0
    before = np.asarray(one.case.person.convert("RGB"))
    return bool((np.asarray(one.result) == before)[outside].all())


def measure(count: int, seed: int) -> dict[str, Figures]:
    generator = ClothSwapGenerator()
    table = {}
    for way in WAYS:
        chosen = list(enumerate(cases(count, seed, way)))

        def one(numbered: tuple[int, Case], way: str = way) -> Dressed | None:
            number, case = numbered
            return dressed(generator, case, way, seed + number)

        with ThreadPoolExecutor(4) as pool:
            made = list(track(pool.map(one, chosen), way, total=count, console=console))
        table[way] = figures(made)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloth_swap", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="people, each dressed three ways")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args(argv)
    began = time.monotonic()
    table = measure(given.count, given.seed)
    shown = Table("", *WAYS, title=f"{given.count} people in other garments")
    for name in table[WAYS[0]]:
        shown.add_row(name, *(f"{table[way][name]:.3f}" for way in WAYS))
    console.print(shown)
    console.print(f"{time.monotonic() - began:.0f} s")
    if given.json is not None:
        given.json.write_text(json.dumps({"count": given.count, "figures": table}, indent=2))


if __name__ == "__main__":
    main()
