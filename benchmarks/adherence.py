"""Does the tiny pack draw what it is told? ``python -m benchmarks.adherence [--json FILE]``

Every figure is a share of pictures, read back by ``models.tiny.checker``, over attribute
combinations that training never saw:

- ``shape_*`` and ``person_*``: from the prompt alone;
- ``garment_*``: a person's garment repainted after a picture of another one, the prompt silent
  about it; ``garment_outside`` is the share whose pixels outside the mask are all unchanged;
- ``identity_*``: the person of a picture drawn in four other scenes, the prompt silent about looks;
- ``parsing_*`` and ``depth_order``: how well the pack reads pictures (``parsing_nobody``: shapes
  and garments by themselves in which it finds nobody); ``motion_*``: its films;
- ``seconds_8_steps``: one picture of 8 steps, alone, the median of five.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import DiffusionRequest
from models.diffusion.video.pipeline import ImageToVideo
from models.diffusion.video.requests import VideoRequest
from models.memory.loader import CapabilityModel
from models.memory.plans import MemoryPlan
from models.profiles.load import load_profile
from models.tiny.checker import read_person
from models.tiny.data import in_another_scene
from models.tiny.drawing import DrawnPerson, draw_person, draw_shape
from models.tiny.evaluate import adherence, save_grid
from models.tiny.world import (
    PARTS,
    SCENES,
    Person,
    Picture,
    caption,
    random_person,
    random_shape,
    unseen,
)
from models.vision.depth import DepthEstimator
from models.vision.human_parser import HumanParser
from models.vision.human_parsing import RejectionReason

TOGETHER = 16
GROWN = 2  # pixels the mask reaches beyond the garment that was found
Figures = dict[str, float]
M = TypeVar("M", bound=CapabilityModel)
console = Console()


def draw(pictures: ImagePipeline, requests: Sequence[DiffusionRequest], what: str) -> list[Picture]:
    with ThreadPoolExecutor(TOGETHER) as callers:
        made = callers.map(lambda request: np.asarray(pictures.generate(request)[0]), requests)
        return list(track(made, total=len(requests), description=what, console=console))


def share(values: Sequence[bool]) -> float:
    return float(np.mean(values))


def prompts(pictures: ImagePipeline, count: int, seed: int, grid: Path | None) -> Figures:
    things = unseen(count, seed)
    requests = [DiffusionRequest(caption(thing), seed + i) for i, thing in enumerate(things)]
    made = draw(pictures, requests, "prompts")
    if grid is not None:
        save_grid(made, grid)
    table = adherence(made, things)
    return {f"{kind}_{name}": value for kind, row in table.items() for name, value in row.items()}


def unseen_persons(count: int, seed: int) -> list[Person]:
    return [thing for thing in unseen(count, seed) if isinstance(thing, Person)]


def garments(pictures: ImagePipeline, parser: HumanParser, count: int, seed: int) -> Figures:
    rng = random.Random(seed)
    wearers, givers = unseen_persons(count, seed), unseen_persons(count, seed + 1)
    rng.shuffle(givers)
    shown, wanted, requests = [], [], []
    for index, (wearer, giver) in enumerate(zip(wearers, givers, strict=True)):
        giver = replace(giver, garment=wearer.garment, gender=wearer.gender)
        drawn, given = draw_person(wearer, rng), draw_person(giver, rng)
        mask = _grown(parser.parse(Image.fromarray(drawn.picture)).mask("upper", "dress"))
        shown.append((drawn, mask))
        wanted.append(giver)
        requests.append(
            DiffusionRequest(
                f"a {wearer.gender} at the {wearer.scene}",
                seed + index,
                image=Image.fromarray(drawn.picture),
                mask=Image.fromarray(mask * np.uint8(255)),
                garment=Image.fromarray(given.garment),
            )
        )
    made = draw(pictures, requests, "garments")
    read = [read_person(picture) for picture in made]
    return {
        "garment_color": share([r["color"] == w.color for r, w in zip(read, wanted, strict=True)]),
        "garment_pattern": share(
            [r["pattern"] == w.pattern for r, w in zip(read, wanted, strict=True)]
        ),
        "garment_outside": share(
            [
                bool((picture == drawn.picture)[mask == 0].all())
                for picture, (drawn, mask) in zip(made, shown, strict=True)
            ]
        ),
    }


def _grown(mask: Any) -> Picture:
    size = 2 * GROWN + 1
    return cv2.dilate(np.asarray(mask).astype(np.uint8), np.ones((size, size), np.uint8))


def identities(pictures: ImagePipeline, count: int, seed: int) -> Figures:
    """``count`` pictures, four of each person."""
    rng = random.Random(seed)
    persons = unseen_persons(-(-count // 4), seed)
    wanted, requests = [], []
    for person in persons:
        reference = Image.fromarray(draw_person(in_another_scene(person, rng), rng).picture)
        for scene in rng.sample(SCENES, 4):
            prompt = f"a {person.gender} at the {scene}"
            requests.append(DiffusionRequest(prompt, seed + len(requests), person=reference))
            wanted.append(replace(person, scene=scene))
    made = draw(pictures, requests, "identities")
    read = [read_person(picture) for picture in made]
    return {
        f"identity_{look}": share(
            [r[look] == getattr(w, look) for r, w in zip(read, wanted, strict=True)]
        )
        for look in ("hair", "skin", "color", "pattern", "scene")
    }


def reading(parser: HumanParser, depth: DepthEstimator, count: int, seed: int) -> Figures:
    rng = random.Random(seed)
    drawn = [draw_person(random_person(rng), rng) for _ in range(count)]
    images = [Image.fromarray(one.picture) for one in drawn]
    parsed = [parser.parse(image) for image in images]
    figures: Figures = {}
    for part in ("hair", "face", "arms"):
        figures[f"parsing_{part}_iou"] = _overlap(
            [parse.mask(part) for parse in parsed],
            [one.parts == PARTS.index(part) for one in drawn],
        )
    figures["parsing_garment_iou"] = _overlap(
        [parse.mask("upper", "dress") for parse in parsed],
        [np.isin(one.parts, [PARTS.index("upper"), PARTS.index("dress")]) for one in drawn],
    )
    nobody = [draw_shape(random_shape(rng), rng) for _ in range(count)]
    nobody += [one.garment for one in drawn]
    figures["parsing_nobody"] = share(
        [
            parser.parse(Image.fromarray(p)).rejection_reason() is RejectionReason.NO_PERSON
            for p in nobody
        ]
    )
    figures["depth_order"] = _in_order(images, drawn, depth, rng)
    return figures


def _overlap(made: Sequence[Any], true: Sequence[Any]) -> float:
    """Intersection over union, over all pictures together."""
    both = sum(int((np.asarray(m) & t).sum()) for m, t in zip(made, true, strict=True))
    either = sum(int((np.asarray(m) | t).sum()) for m, t in zip(made, true, strict=True))
    return both / max(1, either)


def _in_order(
    images: Sequence[Image.Image],
    drawn: Sequence[DrawnPerson],
    depth: DepthEstimator,
    rng: random.Random,
) -> float:
    """The share of pairs of points at clearly different depths that are put in the right order."""
    right: list[bool] = []
    for image, one in zip(images, drawn, strict=True):
        found = depth.estimate_nearness(image)
        for _ in range(40):
            a, b = ((rng.randrange(64), rng.randrange(64)) for _ in range(2))
            if abs(apart := float(one.depth[a] - one.depth[b])) > 0.15:
                right.append((float(found[a] - found[b]) > 0) == (apart > 0))
    return share(right)


def films(video: ImageToVideo, count: int, seed: int) -> Figures:
    """Whether a film keeps what its prompt says in every frame, and whether anything moves."""
    persons = unseen_persons(count, seed)
    kept: list[bool] = []
    moved: list[float] = []
    for index, person in enumerate(track(persons, description="films", console=console)):
        frames = [
            np.asarray(frame)
            for frame in video.generate(VideoRequest(None, caption(person), seed=seed + index))
        ]
        kept += [
            all(read_person(f)[look] == getattr(person, look) for look in ("color", "scene"))
            for f in frames
        ]
        steps = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
        moved.append(float(np.mean(steps)))
    return {"motion_kept": share(kept), "motion_change_per_frame": statistics.mean(moved)}


def seconds(pictures: ImagePipeline) -> float:
    def once(seed: int) -> float:
        started = time.perf_counter()
        pictures.generate(DiffusionRequest("a red circle on a blue background", seed, steps=8))
        return time.perf_counter() - started

    return statistics.median(once(seed) for seed in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adherence", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="pictures of each kind")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--only", default="", help="prompts, garments, identities, reading, films")
    parser.add_argument("--grid", type=Path, help="write the prompts' pictures as one PNG")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    diffusers_logging.set_verbosity_error()
    profile = load_profile("tiny")
    pictures, count, seed = ImagePipeline(profile), arguments.count, arguments.seed

    def loaded(kind: type[M]) -> M:
        return kind.loader(profile).load(MemoryPlan.RESIDENT, profile.device)

    parts: dict[str, Callable[[], Figures]] = {
        "prompts": lambda: prompts(pictures, count, seed, arguments.grid),
        "garments": lambda: garments(pictures, loaded(HumanParser), count, seed),
        "identities": lambda: identities(pictures, count, seed),
        "reading": lambda: reading(loaded(HumanParser), loaded(DepthEstimator), count, seed),
        "films": lambda: films(loaded(ImageToVideo), max(4, count // 10), seed),
    }
    figures: Figures = {}
    for name, measure in parts.items():
        if name in (arguments.only or name).split(","):
            figures |= measure()
    figures["seconds_8_steps"] = seconds(pictures)
    pictures.close()
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
