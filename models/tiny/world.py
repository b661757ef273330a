"""The synthetic world the tiny pack is trained on: 64x64 pictures of shapes and of paper dolls.

Everything a caption says can be read back out of the picture (``models.tiny.checker``), so that a
test can ask what a picture shows. Scenes are drawn at twice the size and averaged down.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (64, 64, 3) RGB
LabelMap = NDArray[np.uint8]  # (64, 64) of PARTS
Color = tuple[int, int, int]

SIZE = 64
_S = 2 * SIZE  # drawn at this size

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
    """A paper doll in a scene."""

    gender: str
    hair: str
    skin: str
    color: str
    pattern: str
    garment: str  # "shirt" or "dress"
    scene: str


@dataclass(frozen=True)
class Drawn:
    """A person's picture with its ground truth: the parse map and the garment lying flat."""

    picture: Picture
    parts: LabelMap
    garment: Picture


def any_shape(rng: random.Random) -> Shape:
    color, background = rng.sample(list(COLORS), 2)
    position = "center" if rng.random() < 0.5 else rng.choice(list(POSITIONS))
    size = "big" if rng.random() < 0.65 else "small"
    return Shape(rng.choice(SHAPES), color, background, position, size)


def any_person(rng: random.Random) -> Person:
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


def held_out(thing: Shape | Person) -> bool:
    """Combinations never trained on: the figures of the model card are taken on these."""
    if isinstance(thing, Shape):
        colors = list(COLORS)
        return (colors.index(thing.color) + 2 * colors.index(thing.background)) % 9 == 4
    hair, color = list(HAIR).index(thing.hair), list(COLORS).index(thing.color)
    return (hair + 2 * color + 3 * SCENES.index(thing.scene)) % 10 == 7


def caption(thing: Shape | Person, rng: random.Random | None = None) -> str:
    """The full caption, or with ``rng`` one that may leave out what people often leave out."""

    def says(probability: float) -> bool:
        return rng is None or rng.random() < probability

    if isinstance(thing, Shape):
        size = f"{thing.size} " if says(0.8) else ""
        plain_center = thing.position == "center" and rng is not None
        where = "" if plain_center and not says(0.3) else f"at the {thing.position} "
        return f"a {size}{thing.color} {thing.kind} {where}on a {thing.background} background"
    skin = f"{thing.skin} skin and " if says(0.65) else ""
    pattern = f"{thing.pattern} " if thing.pattern != "plain" or says(0.3) else ""
    return (
        f"a {thing.gender} with {skin}{thing.hair} hair"
        f" in a {thing.color} {pattern}{thing.garment} at the {thing.scene}"
    )


def draw_shape(shape: Shape, rng: random.Random) -> Picture:
    image = _filled(_jittered(COLORS[shape.background], rng, 8))
    color = _jittered(COLORS[shape.color], rng, 8)
    step_x, step_y = POSITIONS[shape.position]
    radius = rng.randint(25, 32) if shape.size == "big" else rng.randint(13, 17)
    x = 64 + step_x * 30 + rng.randint(-3, 3)
    y = 64 + step_y * 30 + rng.randint(-3, 3)
    if shape.kind == "circle":
        cv2.circle(image, (x, y), radius, color, -1, cv2.LINE_AA)
    elif shape.kind == "square":
        side = round(radius * 0.92)
        cv2.rectangle(image, (x - side, y - side), (x + side, y + side), color, -1)
    else:
        cv2.fillPoly(image, [_outline(shape.kind, x, y, radius)], color, cv2.LINE_AA)
    return _halved(image)


def _outline(kind: str, x: int, y: int, radius: int) -> NDArray[np.int32]:
    if kind == "triangle":
        low = y + radius * 0.8
        points = [(float(x), float(y - radius)), (x + radius, low), (x - radius, low)]
    else:
        reach = [radius * (1.15 if corner % 2 == 0 else 0.48) for corner in range(10)]
        turns = [corner * np.pi / 5 for corner in range(10)]
        points = [(x + r * np.sin(t), y - r * np.cos(t)) for r, t in zip(reach, turns, strict=True)]
    return np.array(points).round().astype(np.int32)


def draw_person(person: Person, rng: random.Random) -> Drawn:
    return _Doll(person, rng).draw()


def _jittered(color: Color, rng: random.Random, by: int) -> Color:
    r, g, b = (min(255, max(0, value + rng.randint(-by, by))) for value in color)
    return (r, g, b)


def _filled(color: Color) -> Picture:
    image = np.empty((_S, _S, 3), np.uint8)
    image[:] = color
    return image


def _halved(image: Picture) -> Picture:
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _patterned(color: Color, pattern: str, rng: random.Random) -> Picture:
    image = _filled(color)
    contrast = (255, 255, 255) if sum(color) < 560 else (60, 60, 60)
    if pattern == "striped":
        for y in range(rng.randint(0, 11) - 12, _S, 12):
            image[max(0, y) : max(0, y + 5)] = contrast
    elif pattern == "dotted":
        for row, y in enumerate(range(4, _S, 11)):
            for x in range(4 + (row % 2) * 5, _S, 11):
                cv2.circle(image, (x, y), 2, contrast, -1)
    return image


def draw_scene(scene: str, rng: random.Random) -> Picture:
    """The background alone, at the drawing size (128, 128, 3)."""
    horizon = round(_S * 0.62) + rng.randint(-6, 6)
    if scene == "beach":
        image = _filled((150, 210, 245))
        image[horizon - 24 : horizon] = (40, 130, 200)
        image[horizon:] = (235, 215, 160)
        cv2.circle(image, (rng.choice((16, _S - 16)), 18), 10, (255, 235, 110), -1)
    elif scene == "park":
        image = _filled((190, 225, 250))
        image[horizon:] = (110, 190, 80)
        for x in (rng.randint(4, 22), _S - rng.randint(4, 22)):
            cv2.rectangle(image, (x - 3, horizon - 30), (x + 3, horizon + 4), (110, 75, 40), -1)
            cv2.circle(image, (x, horizon - 38), 17, (50, 130, 50), -1)
    elif scene == "city":
        image = _filled((205, 210, 220))
        image[horizon:] = (110, 110, 115)
        _houses(image, horizon, rng)
    elif scene == "room":
        image = _filled((235, 220, 195))
        image[horizon + 8 :] = (160, 110, 70)
        cv2.rectangle(image, (8, 14), (40, 48), (150, 205, 240), -1)
        cv2.rectangle(image, (8, 14), (40, 48), (255, 255, 255), 3)
        cv2.rectangle(image, (92, 24), (118, 44), (170, 80, 70), -1)
    else:
        image = _filled((22, 25, 60))
        image[horizon:] = (30, 50, 45)
        cv2.circle(image, (_S - 22, 20), 10, (245, 245, 215), -1)
        for _ in range(18):
            image[rng.randint(0, horizon - 2), rng.randint(0, _S - 2)] = 255
    return image


def _houses(image: Picture, horizon: int, rng: random.Random) -> None:
    x = 0
    while x < _S:
        width, top, gray = rng.randint(18, 30), rng.randint(14, 50), rng.randint(120, 160)
        cv2.rectangle(image, (x, top), (x + width - 3, horizon), (gray, gray - 10, gray - 10), -1)
        for y in range(top + 5, horizon - 6, 12):
            for window in range(x + 4, x + width - 7, 9):
                image[y : y + 5, window : window + 4] = (245, 235, 160)
        x += width


class _Doll:
    """Draws one person part by part, back to front, keeping the parse map in step."""

    def __init__(self, person: Person, rng: random.Random) -> None:
        self.person, self.rng = person, rng
        self.image = draw_scene(person.scene, rng)
        self.parts = np.zeros((_S, _S), np.uint8)
        self.x = 64 + rng.randint(-6, 6)
        self.head = 10 + rng.randint(-3, 3)
        self.shoulder, self.waist, self.feet = self.head + 33, self.head + 69, _S - 4
        self.skin = _jittered(SKIN[person.skin], rng, 6)
        self.hair = _jittered(HAIR[person.hair], rng, 6)
        self.cloth = _jittered(COLORS[person.color], rng, 8)
        self.fabric = _patterned(self.cloth, person.pattern, rng)
        self.is_dress, self.long_hair = person.garment == "dress", person.gender == "woman"
        self.garment_part = "dress" if self.is_dress else "upper"

    def draw(self) -> Drawn:
        if self.long_hair:
            back = _ellipse((self.x, self.head + 18), (19, 22))
            back |= _box((self.x - 19, self.head + 18), (self.x + 19, self.head + 40))
            self._put(back, self.hair, "hair")
        self._legs()
        self._arms(pose=self.rng.randint(0, 2))
        self._put(self._body(), self.fabric, self.garment_part)
        self._head()
        flat = _filled((225, 225, 225))
        shown = self._flat_outline().astype(bool)
        flat[shown] = _patterned(self.cloth, self.person.pattern, self.rng)[shown]
        return Drawn(_halved(self.image), self.parts[::2, ::2].copy(), _halved(flat))

    def _put(self, mask: NDArray[np.uint8], paint: Color | Picture, part: str) -> None:
        where = mask.astype(bool)
        self.image[where] = paint[where] if isinstance(paint, np.ndarray) else paint
        self.parts[where] = PARTS.index(part)

    def _legs(self) -> None:
        half, top = (4, self.waist + 20) if self.is_dress else (7, self.waist - 2)
        paint = self.skin if self.is_dress else _jittered((60, 65, 95), self.rng, 8)
        for side in (-1, 1):
            x = self.x + side * 9
            leg = _box((x - half, top), (x + half, self.feet - 4))
            self._put(leg, paint, "arms" if self.is_dress else "pants")
        for side in (-1, 1):
            shoe = _ellipse((self.x + side * 10, self.feet - 2), (8, 4))
            self._put(shoe, (70, 45, 35), "shoes")

    def _arms(self, pose: int) -> None:
        for side in (-1, 1):
            shoulder = (self.x + side * 19, self.shoulder + 5)
            reach_x, reach_y = (8, 18) if pose == 0 else (17, 6)
            elbow = (shoulder[0] + side * reach_x, shoulder[1] + reach_y)
            bend_x, bend_y = ((1, 18), (-4, 16), (6, -18))[pose]
            hand = (elbow[0] + side * bend_x, elbow[1] + bend_y)
            self._put(_line(shoulder, elbow, 9) | _line(elbow, hand, 8), self.skin, "arms")
            self._put(_line(shoulder, elbow, 12), self.fabric, self.garment_part)

    def _body(self) -> NDArray[np.uint8]:
        x, top, waist = self.x, self.shoulder, self.waist
        if self.is_dress:
            skirt = [(x + 28, waist + 28), (x - 28, waist + 28)]
            return _polygon(
                [(x - 21, top), (x + 21, top), (x + 15, waist - 6), *skirt, (x - 15, waist - 6)]
            )
        return _polygon([(x - 21, top), (x + 21, top), (x + 18, waist + 3), (x - 18, waist + 3)])

    def _head(self) -> None:
        x, y = self.x, self.head
        neck = _box((x - 5, self.shoulder - 6), (x + 5, self.shoulder + 3))
        self._put(neck | _ellipse((x, y + 18), (14, 17)), self.skin, "face")
        hair = _ellipse((x, y + 9), (16, 11), half=True)
        if self.long_hair:
            hair |= _box((x - 17, y + 8), (x - 12, y + 30)) | _box(
                (x + 12, y + 8), (x + 17, y + 30)
            )
        self._put(hair, self.hair, "hair")
        for side in (-1, 1):
            cv2.circle(self.image, (x + side * 5, y + 18), 2, (20, 20, 30), -1)
        cv2.ellipse(self.image, (x, y + 26), (5, 2), 0, 0, 180, (170, 50, 60), 2)

    def _flat_outline(self) -> NDArray[np.uint8]:
        if self.is_dress:
            body = [(40, 16), (88, 16), (80, 56), (104, 116), (24, 116), (48, 56)]
        else:
            body = [(34, 24), (94, 24), (90, 104), (38, 104)]
        mask, top = _polygon(body), 18 if self.is_dress else 25
        for side in (-1, 1):
            sleeve = [(24, top), (50, 52), (40, 62), (22, 42)]
            mask |= _polygon([(64 + side * x, y) for x, y in sleeve])
        return mask


def _blank() -> NDArray[np.uint8]:
    return np.zeros((_S, _S), np.uint8)


def _ellipse(at: tuple[int, int], axes: tuple[int, int], half: bool = False) -> NDArray[np.uint8]:
    mask = _blank()
    cv2.ellipse(mask, at, axes, 0, 180 if half else 0, 360, 1, -1)
    return mask


def _box(a: tuple[int, int], b: tuple[int, int]) -> NDArray[np.uint8]:
    mask = _blank()
    cv2.rectangle(mask, a, b, 1, -1)
    return mask


def _line(a: tuple[int, int], b: tuple[int, int], width: int) -> NDArray[np.uint8]:
    mask = _blank()
    cv2.line(mask, a, b, 1, width)
    return mask


def _polygon(points: Iterable[tuple[int, int]]) -> NDArray[np.uint8]:
    mask = _blank()
    cv2.fillPoly(mask, [np.array(list(points), np.int32)], 1)
    return mask
