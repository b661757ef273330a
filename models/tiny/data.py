"""Training samples of the synthetic world, made from a seed by several processes."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.tiny.drawing import draw_clip, draw_person, draw_shape, shape_depth
from models.tiny.world import (
    COLORS,
    HAIR,
    PATTERNS,
    SCENES,
    SIZE,
    SKIN,
    Person,
    Shape,
    caption,
    caption_without_looks,
    is_held_out,
    random_person,
    random_shape,
)

Pictures = NDArray[np.uint8]  # (n, 64, 64, 3) RGB
CHUNK = 1000
SILENT_CAPTION_SHARE = 0.15  # of the persons' short captions leave the looks to a reference picture

# What a reference picture is asked about, in the order of ``Persons.looks``.
LOOKS: dict[str, tuple[str, ...]] = {
    "hair": tuple(HAIR),
    "skin": tuple(SKIN),
    "color": tuple(COLORS),
    "pattern": PATTERNS,
    "garment": ("shirt", "dress"),
    "gender": ("woman", "man"),
}


@dataclass(frozen=True)
class Samples:
    """``pictures``, their ``depth`` (n, 64, 64), and two captions of each, full and short."""

    pictures: Pictures
    depth: NDArray[np.float16]
    captions: list[tuple[str, str]]


@dataclass(frozen=True)
class Persons:
    """Persons with their ground truth, and each once more in another scene and pose.

    ``parts`` (n, 64, 64) label maps; ``garments`` lie flat; ``references`` show the same person
    elsewhere; ``looks`` (n, 6) are indices into ``LOOKS``; ``captions`` full and silent.
    """

    pictures: Pictures
    parts: NDArray[np.uint8]
    garments: Pictures
    references: Pictures
    looks: NDArray[np.int64]
    captions: list[tuple[str, str]]


@dataclass(frozen=True)
class Clips:
    """``films`` (n, frames, 64, 64, 3) uint8 and a caption of each."""

    films: NDArray[np.uint8]
    captions: list[str]


def random_subject(rng: random.Random, persons: float) -> Shape | Person:
    """Something to draw that is not held out.

    Half of the persons get any pattern alike: most of the world's garments are plain, and dots were
    seen too seldom to be learnt.
    """
    while True:
        drawn: Shape | Person = random_person(rng) if rng.random() < persons else random_shape(rng)
        if isinstance(drawn, Person) and rng.random() < 0.5:
            drawn = replace(drawn, pattern=rng.choice(PATTERNS))
        if not is_held_out(drawn):
            return drawn


def looks(person: Person) -> list[int]:
    return [names.index(getattr(person, look)) for look, names in LOOKS.items()]


def in_another_scene(person: Person, rng: random.Random) -> Person:
    """The same person in another scene."""
    return replace(person, scene=rng.choice([scene for scene in SCENES if scene != person.scene]))


def _samples(seed: int, count: int, persons: float) -> Samples:
    rng = random.Random(seed)
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    depth = np.empty((count, SIZE, SIZE), np.float16)
    captions: list[tuple[str, str]] = []
    for index in range(count):
        shown = random_subject(rng, persons)
        if isinstance(shown, Shape):
            pictures[index] = draw_shape(shown, rng)
            depth[index] = shape_depth(pictures[index], shown)
            short = caption(shown, rng)
        else:
            drawn = draw_person(shown, rng)
            pictures[index], depth[index] = drawn.picture, drawn.depth
            silent = rng.random() < SILENT_CAPTION_SHARE
            short = caption_without_looks(shown, rng) if silent else caption(shown, rng)
        captions.append((caption(shown), short))
    return Samples(pictures, depth, captions)


def _persons(seed: int, count: int) -> Persons:
    rng = random.Random(seed)
    empty = np.empty((count, SIZE, SIZE, 3), np.uint8)
    made = Persons(
        empty,
        np.empty((count, SIZE, SIZE), np.uint8),
        empty.copy(),
        empty.copy(),
        np.empty((count, len(LOOKS)), np.int64),
        [],
    )
    for index in range(count):
        person = random_subject(rng, persons=1.0)
        assert isinstance(person, Person)
        drawn = draw_person(person, rng)
        made.pictures[index], made.parts[index] = drawn.picture, drawn.parts
        made.garments[index] = drawn.garment
        made.references[index] = draw_person(in_another_scene(person, rng), rng).picture
        made.looks[index] = looks(person)
        made.captions.append((caption(person, rng), caption_without_looks(person, rng)))
    return made


def _clips(seed: int, count: int, frames: int) -> Clips:
    rng = random.Random(seed)
    films = np.empty((count, frames, SIZE, SIZE, 3), np.uint8)
    captions: list[str] = []
    for index in range(count):
        shown = random_subject(rng, persons=0.6)
        films[index] = np.stack(draw_clip(shown, rng, frames))
        captions.append(caption(shown, rng))
    return Clips(films, captions)


SampleSet = TypeVar("SampleSet", Samples, Persons, Clips)


def _in_chunks(
    make: Callable[..., SampleSet], count: int, seed: int, processes: int, *rest: object
) -> list[SampleSet]:
    """The same for the same seed and whatever the number of processes."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    seeds = [seed * 1_000_003 + chunk for chunk in range(len(sizes))]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(make, seeds, sizes, *([value] * len(sizes) for value in rest)))


def make_samples(count: int, seed: int, persons: float = 0.5, processes: int = 2) -> Samples:
    """``count`` pictures of shapes and, as a share, ``persons``."""
    chunks = _in_chunks(_samples, count, seed, processes, persons)
    return Samples(
        np.concatenate([chunk.pictures for chunk in chunks]),
        np.concatenate([chunk.depth for chunk in chunks]),
        [pair for chunk in chunks for pair in chunk.captions],
    )


def make_persons(count: int, seed: int, processes: int = 2) -> Persons:
    """``count`` persons, none of a held-out combination."""
    chunks = _in_chunks(_persons, count, seed, processes)
    return Persons(
        np.concatenate([chunk.pictures for chunk in chunks]),
        np.concatenate([chunk.parts for chunk in chunks]),
        np.concatenate([chunk.garments for chunk in chunks]),
        np.concatenate([chunk.references for chunk in chunks]),
        np.concatenate([chunk.looks for chunk in chunks]),
        [pair for chunk in chunks for pair in chunk.captions],
    )


def make_clips(count: int, seed: int, frames: int = 8, processes: int = 2) -> Clips:
    """``count`` short films of moving shapes and waving persons."""
    chunks = _in_chunks(_clips, count, seed, processes, frames)
    return Clips(
        np.concatenate([chunk.films for chunk in chunks]),
        [text for chunk in chunks for text in chunk.captions],
    )
