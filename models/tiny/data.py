"""Training samples of the synthetic world, made from a seed by several processes."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tiny.world import (
    SIZE,
    Person,
    Shape,
    any_person,
    any_shape,
    caption,
    draw_person,
    draw_shape,
    held_out,
)


@dataclass(frozen=True)
class Samples:
    """``pictures`` (n, 64, 64, 3) uint8 RGB, and two captions of each."""

    pictures: NDArray[np.uint8]
    captions: list[tuple[str, str]]


def thing(rng: random.Random, persons: float) -> Shape | Person:
    """Something to draw that is not held out."""
    while True:
        drawn: Shape | Person = any_person(rng) if rng.random() < persons else any_shape(rng)
        if not held_out(drawn):
            return drawn


def _chunk(seed: int, count: int, persons: float) -> Samples:
    rng = random.Random(seed)
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    captions: list[tuple[str, str]] = []
    for index in range(count):
        shown = thing(rng, persons)
        pictures[index] = (
            draw_shape(shown, rng) if isinstance(shown, Shape) else draw_person(shown, rng).picture
        )
        captions.append((caption(shown), caption(shown, rng)))
    return Samples(pictures, captions)


def make_samples(count: int, seed: int, persons: float = 0.5, processes: int = 2) -> Samples:
    """``count`` samples; the same for the same seed and whatever the number of processes."""
    sizes = [min(1000, count - start) for start in range(0, count, 1000)]
    with ProcessPoolExecutor(processes) as pool:
        seeds = [seed * 1_000_003 + chunk for chunk in range(len(sizes))]
        chunks = list(pool.map(_chunk, seeds, sizes, [persons] * len(sizes)))
    return Samples(
        np.concatenate([chunk.pictures for chunk in chunks]),
        [pair for chunk in chunks for pair in chunk.captions],
    )
