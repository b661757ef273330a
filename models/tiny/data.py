"""Generate training samples of the synthetic world from a seed, in several processes."""

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
SILENT_CAPTION_SHARE = 0.15  # fraction of people's short captions that omit the looks

# The attributes a reference picture shows, in the order of ``Persons.looks``.
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
    """Pictures with depth maps and captions.

    ``pictures`` is uint8 RGB (n, 64, 64, 3); ``depth`` is float16 (n, 64, 64), 0 farthest to 1
    nearest. Each picture has two captions, full and short.
    """

    pictures: Pictures
    depth: NDArray[np.float16]
    captions: list[tuple[str, str]]


@dataclass(frozen=True)
class Persons:
    """People with ground truth, each also in another scene and pose.

    ``pictures``, ``garments`` (lying flat) and ``references`` (the same person elsewhere) are uint8
    RGB (n, 64, 64, 3). ``parts`` is uint8 (n, 64, 64), indices into ``PARTS``. ``looks`` is int64
    (n, 6), indices into the values of ``LOOKS``. ``captions`` are pairs: full, and without looks.
    """

    pictures: Pictures
    parts: NDArray[np.uint8]
    garments: Pictures
    references: Pictures
    looks: NDArray[np.int64]
    captions: list[tuple[str, str]]


@dataclass(frozen=True)
class Clips:
    """Video clips, uint8 RGB (n, frames, 64, 64, 3), with a caption of each."""

    films: NDArray[np.uint8]
    captions: list[str]


def random_subject(rng: random.Random, persons: float) -> Shape | Person:
    """Return a random person, with probability ``persons``, or shape that is not held out.

    Half of the people get a uniformly random pattern: most garments are plain otherwise, and dots
    would be too rare to be learned.
    """
    while True:
        subject: Shape | Person = (
            random_person(rng) if rng.random() < persons else random_shape(rng)
        )
        if isinstance(subject, Person) and rng.random() < 0.5:
            subject = replace(subject, pattern=rng.choice(PATTERNS))
        if not is_held_out(subject):
            return subject


def looks(person: Person) -> list[int]:
    """Return the person's attributes as indices into the values of ``LOOKS``."""
    return [names.index(getattr(person, look)) for look, names in LOOKS.items()]


def in_another_scene(person: Person, rng: random.Random) -> Person:
    """Return the same person in another scene."""
    return replace(person, scene=rng.choice([scene for scene in SCENES if scene != person.scene]))


def _samples(seed: int, count: int, persons: float) -> Samples:
    rng = random.Random(seed)
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    depth = np.empty((count, SIZE, SIZE), np.float16)
    captions: list[tuple[str, str]] = []
    for index in range(count):
        subject = random_subject(rng, persons)
        if isinstance(subject, Shape):
            pictures[index] = draw_shape(subject, rng)
            depth[index] = shape_depth(pictures[index], subject)
            short = caption(subject, rng)
        else:
            drawn = draw_person(subject, rng)
            pictures[index], depth[index] = drawn.picture, drawn.depth
            silent = rng.random() < SILENT_CAPTION_SHARE
            short = caption_without_looks(subject, rng) if silent else caption(subject, rng)
        captions.append((caption(subject), short))
    return Samples(pictures, depth, captions)


def _persons(seed: int, count: int) -> Persons:
    rng = random.Random(seed)
    empty = np.empty((count, SIZE, SIZE, 3), np.uint8)
    samples = Persons(
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
        samples.pictures[index], samples.parts[index] = drawn.picture, drawn.parts
        samples.garments[index] = drawn.garment
        samples.references[index] = draw_person(in_another_scene(person, rng), rng).picture
        samples.looks[index] = looks(person)
        samples.captions.append((caption(person, rng), caption_without_looks(person, rng)))
    return samples


def _clips(seed: int, count: int, frames: int) -> Clips:
    rng = random.Random(seed)
    films = np.empty((count, frames, SIZE, SIZE, 3), np.uint8)
    captions: list[str] = []
    for index in range(count):
        subject = random_subject(rng, persons=0.6)
        films[index] = np.stack(draw_clip(subject, rng, frames))
        captions.append(caption(subject, rng))
    return Clips(films, captions)


SampleSet = TypeVar("SampleSet", Samples, Persons, Clips)


def _in_chunks(
    make: Callable[..., SampleSet], count: int, seed: int, processes: int, *rest: object
) -> list[SampleSet]:
    """Make samples in chunks; the result is independent of the number of processes."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    seeds = [seed * 1_000_003 + chunk for chunk in range(len(sizes))]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(make, seeds, sizes, *([value] * len(sizes) for value in rest)))


def make_samples(count: int, seed: int, persons: float = 0.5, processes: int = 2) -> Samples:
    """Generate ``count`` pictures; ``persons`` is the fraction of people, the rest are shapes."""
    chunks = _in_chunks(_samples, count, seed, processes, persons)
    return Samples(
        np.concatenate([chunk.pictures for chunk in chunks]),
        np.concatenate([chunk.depth for chunk in chunks]),
        [pair for chunk in chunks for pair in chunk.captions],
    )


def make_persons(count: int, seed: int, processes: int = 2) -> Persons:
    """Generate ``count`` people, none of a held-out attribute combination."""
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
    """Generate ``count`` short clips of moving shapes and waving people."""
    chunks = _in_chunks(_clips, count, seed, processes, frames)
    return Clips(
        np.concatenate([chunk.films for chunk in chunks]),
        [text for chunk in chunks for text in chunk.captions],
    )
