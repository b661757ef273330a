"""Measure how well the pack follows prompts: ``python -m models.tiny.evaluate``.

The prompts use attribute combinations held out of training. The script prints a table; ``--json
FILE`` writes it as data, ``--grid FILE`` writes the pictures.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.tiny.checker import check
from models.tiny.drawing import draw_person, draw_shape
from models.tiny.world import Person, Picture, Shape, Thing, caption, unseen

PACK = Path(__file__).parent / "pack"


def drawn_by_world(things: Iterable[Thing]) -> list[Picture]:
    """Draw ``things`` with the renderer: uint8 RGB (64, 64, 3) each."""
    rng = random.Random(3)
    return [
        draw_shape(thing, rng) if isinstance(thing, Shape) else draw_person(thing, rng).picture
        for thing in things
    ]


def drawn_by_pack(things: list[Thing], pack: Path, steps: int, guidance: float) -> list[Picture]:
    """Generate ``things`` with the pack's weights: uint8 RGB (64, 64, 3) each."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        pack, safety_checker=None, requires_safety_checker=False, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    pictures: list[Picture] = []
    for start in range(0, len(things), 20):
        prompts = [caption(thing) for thing in things[start : start + 20]]
        output = pipeline(
            prompts,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=64,
            width=64,
            generator=generator,
        )
        pictures += [np.asarray(image) for image in output.images]
    return pictures


def adherence(pictures: list[Picture], things: list[Thing]) -> dict[str, dict[str, float]]:
    """Return the fraction of pictures that show each attribute, by kind of prompt.

    ``all`` is the fraction that shows every attribute.
    """
    table: dict[str, dict[str, float]] = {}
    for name, kind in (("shape", Shape), ("person", Person)):
        results = [
            check(picture, thing)
            for picture, thing in zip(pictures, things, strict=True)
            if isinstance(thing, kind)
        ]
        table[name] = {
            attribute: float(np.mean([result[attribute] for result in results]))
            for attribute in results[0]
        }
        table[name]["all"] = float(np.mean([all(result.values()) for result in results]))
    return table


def save_grid(pictures: list[Picture], path: Path, columns: int = 12, rows: int = 6) -> None:
    """Write a grid of pictures, taken evenly from ``pictures``, at twice their size."""
    step = max(1, len(pictures) // (columns * rows))
    selected = pictures[::step][: columns * rows]
    lines = [
        np.hstack(selected[start : start + columns])
        for start in range(0, len(selected) - columns + 1, columns)
    ]
    grid = Image.fromarray(np.vstack(lines))
    grid.resize((grid.width * 2, grid.height * 2), Image.Resampling.NEAREST).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.tiny.evaluate", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="prompts of each kind")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--world", action="store_true", help="check the renderer's own pictures")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--grid", type=Path)
    arguments = parser.parse_args()
    things = unseen(arguments.count, arguments.seed)
    pictures = (
        drawn_by_world(things)
        if arguments.world
        else drawn_by_pack(things, arguments.pack, arguments.steps, arguments.guidance)
    )
    table = adherence(pictures, things)
    for kind, row in table.items():
        print(f"{kind:8}" + "".join(f"{name:>12} {fraction:.2f}" for name, fraction in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")
    if arguments.grid:
        save_grid(pictures, arguments.grid)


if __name__ == "__main__":
    main()
