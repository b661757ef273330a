"""The synthetic world of the tiny pack: 64x64 pictures of shapes and of paper-doll people.

``models.tiny.checker`` can read the attributes of a caption back from the picture, so a test can
check what a picture shows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (64, 64, 3) RGB
LabelMap = NDArray[np.uint8]  # (64, 64) of PARTS
DepthMap = NDArray[np.float32]  # (64, 64) of 0 (farthest) to 1 (nearest)
Color = tuple[int, int, int]

SIZE = 64

COLORS: dict[str, Color] = {
    "red": (210, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 210),
    "yellow": (240, 210, 50),
    "purple": (140, 60, 170),
    "orange": (245, 140, 30),
    "white": (245, 245, 245),
    "black": (30, 30, 30),
    "pink": (245, 150, 190),
}
HAIR: dict[str, Color] = {
    "blond": (235, 200, 90),
    "brown": (110, 65, 30),
    "black": (25, 22, 22),
    "red": (190, 70, 30),
    "gray": (165, 165, 165),
}
SKIN: dict[str, Color] = {"pale": (250, 220, 195), "tan": (215, 165, 120), "dark": (115, 75, 50)}
SCENES = ("beach", "park", "city", "room", "night")
SHAPES = ("circle", "square", "triangle", "star")
POSITIONS = {"center": (0, 0), "left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
PATTERNS = ("plain", "striped", "dotted")
PARTS = ("background", "hair", "face", "upper", "arms", "pants", "shoes", "dress")


@dataclass(frozen=True)
class Shape:
    """One shape on a plain background; ``color`` and ``background`` differ."""

    kind: str
    color: str
    background: str
    position: str = "center"
    size: str = "big"


@dataclass(frozen=True)
class Person:
    """A paper-doll person in a scene."""

    gender: str
    hair: str
    skin: str
    color: str
    pattern: str
    garment: str  # "shirt" or "dress"
    scene: str


def random_shape(rng: random.Random) -> Shape:
    """Return a shape with random attributes."""
    color, background = rng.sample(list(COLORS), 2)
    position = "center" if rng.random() < 0.5 else rng.choice(list(POSITIONS))
    size = "big" if rng.random() < 0.65 else "small"
    return Shape(rng.choice(SHAPES), color, background, position, size)


def random_person(rng: random.Random) -> Person:
    """Return a person with random attributes."""
    gender = rng.choice(("woman", "man"))
    garment = rng.choice(("shirt", "shirt", "dress")) if gender == "woman" else "shirt"
    pattern = "plain" if rng.random() < 0.6 else rng.choice(PATTERNS)
    return Person(
        gender,
        rng.choice(list(HAIR)),
        rng.choice(list(SKIN)),
        rng.choice(list(COLORS)),
        pattern,
        garment,
        rng.choice(SCENES),
    )


Thing = Shape | Person


def is_held_out(thing: Thing) -> bool:
    """Whether the attribute combination is held out of training, for the model card's figures."""
    if isinstance(thing, Shape):
        colors = list(COLORS)
        return (colors.index(thing.color) + 2 * colors.index(thing.background)) % 9 == 4
    hair, color = list(HAIR).index(thing.hair), list(COLORS).index(thing.color)
    return (hair + 2 * color + 3 * SCENES.index(thing.scene)) % 10 == 7


def unseen(count: int, seed: int) -> list[Thing]:
    """Return ``count`` shapes and as many people that are held out of training."""
    rng = random.Random(seed)
    shapes: list[Thing] = []
    persons: list[Thing] = []
    while len(shapes) < count or len(persons) < count:
        shape, person = random_shape(rng), random_person(rng)
        if is_held_out(shape) and len(shapes) < count:
            shapes.append(shape)
        if is_held_out(person) and len(persons) < count:
            persons.append(person)
    return shapes + persons


def caption_without_looks(person: Person, rng: random.Random) -> str:
    """Write a caption without hair, skin and colors, which a reference picture supplies."""
    garment = f" in a {person.garment}" if rng.random() < 0.5 else ""
    return f"a {person.gender}{garment} at the {person.scene}"


def caption(thing: Thing, rng: random.Random | None = None) -> str:
    """Write the full caption; with ``rng``, randomly omit details that people often omit."""

    def included(probability: float) -> bool:
        return rng is None or rng.random() < probability

    if isinstance(thing, Shape):
        size = f"{thing.size} " if included(0.8) else ""
        plain_center = thing.position == "center" and rng is not None
        where = "" if plain_center and not included(0.3) else f"at the {thing.position} "
        return f"a {size}{thing.color} {thing.kind} {where}on a {thing.background} background"
    skin = f"{thing.skin} skin and " if included(0.65) else ""
    pattern = f"{thing.pattern} " if thing.pattern != "plain" or included(0.3) else ""
    return (
        f"a {thing.gender} with {skin}{thing.hair} hair"
        f" in a {thing.color} {pattern}{thing.garment} at the {thing.scene}"
    )
