"""Draw the synthetic world with ground truth: parts, depth, the garment, the motion.

Scenes are drawn at twice the size and averaged down.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.tiny.world import (
    COLORS,
    HAIR,
    PARTS,
    POSITIONS,
    SIZE,
    SKIN,
    Color,
    DepthMap,
    LabelMap,
    Person,
    Picture,
    Shape,
)

_S = 2 * SIZE  # drawn at this size


@dataclass(frozen=True)
class DrawnPerson:
    """A person's picture with its ground truth: label map, depth, and the garment lying flat."""

    picture: Picture
    parts: LabelMap
    depth: DepthMap
    garment: Picture


@dataclass(frozen=True)
class Motion:
    """The displacement at one frame in drawing pixels, and how far the arms are raised, 0..1."""

    right: float = 0.0
    down: float = 0.0
    wave: float | None = None  # None: a still pose


STILL = Motion()


def draw_shape(shape: Shape, rng: random.Random, motion: Motion = STILL) -> Picture:
    """Draw a shape: uint8 RGB (64, 64, 3)."""
    image = _filled(_jittered(COLORS[shape.background], rng, 8))
    color = _jittered(COLORS[shape.color], rng, 8)
    step_x, step_y = POSITIONS[shape.position]
    radius = rng.randint(25, 32) if shape.size == "big" else rng.randint(13, 17)
    x = 64 + step_x * 30 + rng.randint(-3, 3) + round(motion.right)
    y = 64 + step_y * 30 + rng.randint(-3, 3) + round(motion.down)
    if shape.kind == "circle":
        cv2.circle(image, (x, y), radius, color, -1, cv2.LINE_AA)
    elif shape.kind == "square":
        side = round(radius * 0.92)
        cv2.rectangle(image, (x - side, y - side), (x + side, y + side), color, -1)
    else:
        cv2.fillPoly(image, [outline(shape.kind, x, y, radius)], color, cv2.LINE_AA)
    return _halved(image)


def outline(kind: str, x: int, y: int, radius: int) -> NDArray[np.int32]:
    """Return the corners of a triangle or star around (x, y): int32 (corners, 2), pixels."""
    if kind == "triangle":
        low = y + radius * 0.8
        points = [(float(x), float(y - radius)), (x + radius, low), (x - radius, low)]
    else:
        reach = [radius * (1.15 if corner % 2 == 0 else 0.48) for corner in range(10)]
        turns = [corner * np.pi / 5 for corner in range(10)]
        points = [(x + r * np.sin(t), y - r * np.cos(t)) for r, t in zip(reach, turns, strict=True)]
    return np.array(points).round().astype(np.int32)


def draw_person(person: Person, rng: random.Random, motion: Motion = STILL) -> DrawnPerson:
    """Draw a person with ground truth, all at 64x64 pixels."""
    return _Doll(person, rng, motion).draw()


def draw_clip(thing: Shape | Person, rng: random.Random, frames: int = 8) -> list[Picture]:
    """Draw a short clip, frames of uint8 RGB (64, 64, 3).

    A shape drifts and comes back, a person sways and waves.

    Every frame is drawn from the same random state, so that only the motion differs.
    """
    seed, turn, reach = rng.random(), rng.random() * 2 * np.pi, rng.uniform(10, 18)
    angle = rng.choice((0.0, np.pi / 2))
    clip: list[Picture] = []
    for frame in range(frames):
        swing = float(np.sin(turn + 2 * np.pi * frame / frames))
        frame_rng = random.Random(seed)
        if isinstance(thing, Shape):
            across, along = float(np.cos(angle)), float(np.sin(angle))
            moved = Motion(reach * swing * across, reach * swing * along)
            clip.append(draw_shape(thing, frame_rng, moved))
        else:
            moved = Motion(right=0.4 * reach * swing, wave=0.5 + 0.5 * swing)
            clip.append(draw_person(thing, frame_rng, moved).picture)
    return clip


def shape_depth(picture: Picture, shape: Shape) -> DepthMap:
    """Return the shape's nearness: float32 (64, 64), 1 on the shape and 0 elsewhere.

    ``picture`` is uint8 RGB (64, 64, 3).
    """
    to_background = picture.astype(np.float32) - np.array(COLORS[shape.background], np.float32)
    to_shape = picture.astype(np.float32) - np.array(COLORS[shape.color], np.float32)
    closer = np.linalg.norm(to_shape, axis=2) < np.linalg.norm(to_background, axis=2)
    return closer.astype(np.float32)


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


def draw_scene(scene: str, rng: random.Random) -> tuple[Picture, DepthMap]:
    """Draw an empty scene at twice the size: uint8 RGB (128, 128, 3) and nearness (128, 128)."""
    horizon = round(_S * 0.62) + rng.randint(-6, 6)
    depth = np.zeros((_S, _S), np.float32)
    depth[horizon:] = np.linspace(0.15, 0.8, _S - horizon, dtype=np.float32)[:, None]
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
            cv2.rectangle(depth, (x - 3, horizon - 30), (x + 3, horizon + 4), 0.2, -1)
            cv2.circle(depth, (x, horizon - 38), 17, 0.2, -1)
    elif scene == "city":
        image = _filled((205, 210, 220))
        image[horizon:] = (110, 110, 115)
        _houses(image, depth, horizon, rng)
    elif scene == "room":
        image = _filled((235, 220, 195))
        depth[: horizon + 8] = 0.15  # a wall stands where others have sky
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
    return image, depth


def _houses(image: Picture, depth: DepthMap, horizon: int, rng: random.Random) -> None:
    x = 0
    while x < _S:
        width, top, gray = rng.randint(18, 30), rng.randint(14, 50), rng.randint(120, 160)
        cv2.rectangle(image, (x, top), (x + width - 3, horizon), (gray, gray - 10, gray - 10), -1)
        cv2.rectangle(depth, (x, top), (x + width - 3, horizon), 0.1, -1)
        for y in range(top + 5, horizon - 6, 12):
            for window in range(x + 4, x + width - 7, 9):
                image[y : y + 5, window : window + 4] = (245, 235, 160)
        x += width


class _Doll:
    """Draws one person part by part, back to front, and updates the label map."""

    def __init__(self, person: Person, rng: random.Random, motion: Motion) -> None:
        self.person, self.rng, self.motion = person, rng, motion
        self.image, self.depth = draw_scene(person.scene, rng)
        self.parts = np.zeros((_S, _S), np.uint8)
        self.x = 64 + rng.randint(-6, 6) + round(motion.right)
        self.head = 10 + rng.randint(-3, 3) + round(motion.down)
        self.shoulder, self.waist, self.feet = self.head + 33, self.head + 69, _S - 4
        self.skin = _jittered(SKIN[person.skin], rng, 6)
        self.hair = _jittered(HAIR[person.hair], rng, 6)
        self.cloth = _jittered(COLORS[person.color], rng, 8)
        self.fabric = _patterned(self.cloth, person.pattern, rng)
        self.is_dress, self.long_hair = person.garment == "dress", person.gender == "woman"
        self.garment_part = "dress" if self.is_dress else "upper"

    def draw(self) -> DrawnPerson:
        if self.long_hair:
            back = _ellipse((self.x, self.head + 18), (19, 22))
            back |= _box((self.x - 19, self.head + 18), (self.x + 19, self.head + 40))
            self._put(back, self.hair, "hair")
        self._legs()
        self._arms(pose=self.rng.randint(0, 2))
        self._put(self._body(), self.fabric, self.garment_part)
        self._head()
        flat = _filled((225, 225, 225))
        garment_mask = self._flat_outline().astype(bool)
        flat[garment_mask] = _patterned(self.cloth, self.person.pattern, self.rng)[garment_mask]
        self.depth[self.parts > 0] = 0.9
        return DrawnPerson(
            _halved(self.image),
            self.parts[::2, ::2].copy(),
            cv2.resize(self.depth, (SIZE, SIZE), interpolation=cv2.INTER_AREA),
            _halved(flat),
        )

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
            bend_x, bend_y = ((1, 18), (-4, 16), (6, -18))[pose]
            if self.motion.wave is not None:
                raised = self.motion.wave
                reach_x, reach_y = round(8 + 9 * raised), round(18 - 12 * raised)
                bend_x, bend_y = round(1 + 5 * raised), round(18 - 36 * raised)
            elbow = (shoulder[0] + side * reach_x, shoulder[1] + reach_y)
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
