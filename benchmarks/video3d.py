"""Do turntables and camera paths mean something? ``python -m benchmarks.video3d [--json FILE]``

``turntable``: ``--count`` prompts for shapes of combinations that training never saw, made by the
generator itself. Of each mesh, read back from its GLB: ``watertight`` (or else its open edges are
told: ``holes_told``), ``color`` seen from eight sides as asked for, ``kind`` seen from the front,
``round`` (of circles: as deep and high as wide).

``parallax``: as many pictures of persons in scenes, moved past by a panning camera. How far each
part of a picture moves is measured in the film by optical flow, where there is texture to see it,
and compared with the depth map that the job gave: ``monotone`` is the share of films in which each
nearer quarter of the depths moves at least as far as the one behind it, ``rank`` the mean rank
correlation between nearness and movement of single pixels, ``near_over_far`` the median ratio of
the nearest quarter's movement to the farthest's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.influencer import share, unseen
from benchmarks.tiny_models import tiny_inference
from deployments.contract import Artifact
from deployments.generators.video3d.generator import Video3DGenerator
from deployments.generators.video3d.spec import SPEC
from deployments.worker.context import FetchedInputs, RunContext
from models.media.probe import read_frames
from models.mesh.lighting import FLAT
from models.mesh.turntable import TurntableScene, TurntableView
from models.tiny.checker import nearest, read_shape
from models.tiny.drawing import draw_person
from models.tiny.world import COLORS, SIZE, Shape, caption, is_held_out, random_shape
from tests.support.readers import mesh_of_glb

SIDES = range(0, 360, 45)
BANDS = 4
SLACK = 0.5  # pixels by which a farther part may seem to move more: the flow is no better
MEDIA = {"data": "data:image/png;base64,AA=="}  # the file is handed over beside the request
Figures = dict[str, float]
Picture = np.ndarray[Any, Any]
console = Console()


def unseen_shapes(count: int, seed: int) -> list[Shape]:
    """Big ones in the middle, as one would ask for to turn them."""
    rng, found = random.Random(seed), []
    while len(found) < count:
        shape = random_shape(rng)
        if is_held_out(shape) and (shape.position, shape.size) == ("center", "big"):
            found.append(shape)
    return found


def made(
    generator: Video3DGenerator, request: dict[str, Any], seed: int, folder: Path, image: Any = None
) -> tuple[dict[str, Path], dict[str, Any]]:
    """The files of a job by kind, and its notes."""
    inputs = {}
    if image is not None:
        inputs["image"] = folder / "image.png"
        image.save(inputs["image"])
        request = request | {"image": MEDIA}
    work = folder / "work"
    work.mkdir()
    context = RunContext(seed, work, FetchedInputs(inputs=inputs), inference=tiny_inference())
    artifacts: list[Artifact] = generator.generate(SPEC.request.model_validate(request), context)
    return {one.kind: one.path for one in artifacts}, context.notes().values


def turned(generator: Video3DGenerator, shape: Shape, seed: int) -> dict[str, bool]:
    request = {"mode": "turntable", "prompt": caption(shape), "seconds": 1, "fps": 8, "width": 96}
    with TemporaryDirectory() as folder:
        files, notes = made(generator, request, seed, Path(folder))
        mesh = mesh_of_glb(files["mesh"])
    background = COLORS["blue" if shape.color != "blue" else "white"]
    view = TurntableView(
        SIZE, SIZE, elevation=0, background=background, lighting=FLAT, shadow=False
    )
    sides = [TurntableScene(mesh, view).render(angle) for angle in SIDES]
    found = {
        "watertight": bool(notes["mesh"]["watertight"]),
        "holes_told": bool(notes["mesh"]["watertight"]) or notes["mesh"]["open_edges"] > 0,
        "color": all(_color(side, background) == shape.color for side in sides),
        "kind": read_shape(sides[0]).get("kind") == shape.kind,
    }
    if shape.kind == "circle":
        found["round"] = bool(mesh.extents.min() / mesh.extents.max() > 0.85)
    return found


def _color(side: Picture, background: tuple[int, int, int]) -> str:
    apart = np.abs(side.astype(int) - background).max(axis=2)
    seen = cv2.erode((apart > 60).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return nearest(np.median(side[seen], axis=0), COLORS) if seen.any() else ""


def panned(generator: Video3DGenerator, number: int, seed: int) -> dict[str, float]:
    [person] = unseen(1, seed + number)
    drawn = Image.fromarray(draw_person(person, random.Random(seed + number)).picture)
    request = {
        "mode": "parallax", "seconds": 1, "fps": 9, "width": 256, "loop": False,
        "easing": "linear", "camera": {"path": "pan", "strength": 1.0},
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        files, _ = made(generator, request, seed, Path(folder), drawn)
        frames = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in read_frames(files["video"])]
        with Image.open(files["depth"]) as depth:
            near = np.asarray(depth.convert("L").resize(frames[0].shape[::-1])) / 255
    middle = len(frames) // 2
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    moved = np.abs(flow.calc(frames[middle - 1], frames[middle + 1], None)[..., 0])
    slope = np.abs(cv2.Sobel(frames[middle], cv2.CV_32F, 1, 0))
    textured = cv2.GaussianBlur(slope, (0, 0), 2) > 8
    edges = np.quantile(near[textured], np.linspace(0, 1, BANDS + 1))
    medians = [
        float(np.median(moved[textured & (near >= low) & (near <= high)]))
        for low, high in itertools.pairwise(edges)
    ]
    steps = np.diff(medians)
    return {
        "monotone": float((steps >= -SLACK).all()),
        "rank": _rank_correlation(near[textured], moved[textured]),
        "near_over_far": medians[-1] / max(medians[0], 0.25),
    }


def _rank_correlation(one: Picture, other: Picture) -> float:
    """Spearman's."""
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def measure(count: int, seed: int) -> Figures:
    generator = Video3DGenerator()
    meshes = [
        turned(generator, shape, seed + number)
        for number, shape in enumerate(
            track(unseen_shapes(count, seed), "turntable", console=console)
        )
    ]
    films = [
        panned(generator, number, seed)
        for number in track(range(count), "parallax", console=console)
    ]
    names = ("watertight", "holes_told", "color", "kind", "round")
    found = {
        f"turntable_{name}": share([mesh[name] for mesh in meshes if name in mesh])
        for name in names
    }
    found["parallax_monotone"] = float(np.mean([film["monotone"] for film in films]))
    found["parallax_rank"] = float(np.mean([film["rank"] for film in films]))
    found["parallax_near_over_far"] = float(np.median([film["near_over_far"] for film in films]))
    return {name: round(value, 4) for name, value in found.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.video3d",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=40, help="films of each kind")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args(argv)
    began = time.monotonic()
    found = measure(given.count, given.seed)
    table = Table("figure", "value", title=f"{given.count} films of each kind")
    for name, value in found.items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)
    console.print(f"{time.monotonic() - began:.0f} s")
    if given.json is not None:
        given.json.write_text(json.dumps({"count": given.count, "figures": found}, indent=2))


if __name__ == "__main__":
    main()
