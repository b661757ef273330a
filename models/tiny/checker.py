"""Read the attributes of a 64x64 picture of the synthetic world by classical vision.

Accuracy on the renderer's own pictures is printed by ``python -m models.tiny.evaluate --world``.
A person's gender, garment type and pose are not read.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from models.tiny.drawing import outline
from models.tiny.world import COLORS, HAIR, SHAPES, SKIN, Color, Person, Picture, Shape

_SCENE_COLORS: dict[str, tuple[Color, Color]] = {  # the sky at the top, the ground at the bottom
    "beach": ((150, 210, 245), (235, 215, 160)),
    "park": ((190, 225, 250), (110, 190, 80)),
    "city": ((195, 200, 210), (110, 110, 115)),
    "room": ((235, 220, 195), (160, 110, 70)),
    "night": ((22, 25, 60), (30, 50, 45)),
}
_FINER = 4
_STRIPES, _DOTS = 43.0, 22.0  # contrast along rows, and within rows
Floats = NDArray[np.float64]


def nearest(color: Floats, named: Mapping[str, Color]) -> str:
    """Return the name in ``named`` whose color is nearest to ``color`` in CIE Lab.

    ``color`` is float64 (3,), RGB 0..255.
    """

    def lab(value: Floats | Color) -> Floats:
        pixel = np.clip(np.array(value, np.float64), 0, 255).astype(np.uint8).reshape(1, 1, 3)
        return cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB)[0, 0].astype(np.float64)

    target = lab(color)
    return min(named, key=lambda name: float(np.linalg.norm(target - lab(named[name]))))


def _median(pixels: Floats) -> Floats:
    return np.median(pixels.reshape(-1, 3), axis=0)


def read_shape(picture: Picture) -> dict[str, str]:
    """Read ``background`` and, if a shape is visible, ``color``, ``kind``, ``position``, ``size``.

    ``picture`` is uint8 RGB (64, 64, 3).
    """
    image = picture.astype(np.float64)
    edge = np.concatenate(
        [part.reshape(-1, 3) for part in (image[:4], image[-4:], image[:, :4], image[:, -4:])]
    )
    background = np.median(edge, axis=0)
    attributes = {"background": nearest(background, COLORS)}
    distance = np.linalg.norm(image - background, axis=2)
    threshold = max(45.0, 0.45 * float(np.percentile(distance, 99.5)))
    mask = (distance > threshold).astype(np.uint8)
    count, labels, stats, centers = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return attributes
    biggest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    blob = (labels == biggest).astype(np.uint8)
    core = cv2.erode(blob, np.ones((3, 3), np.uint8)).astype(bool)
    inside = core if core.sum() > 4 else blob.astype(bool)
    width = int(stats[biggest, cv2.CC_STAT_WIDTH])
    height = int(stats[biggest, cv2.CC_STAT_HEIGHT])
    return attributes | {
        "color": nearest(_median(image[inside]), COLORS),
        "kind": _kind(picture, blob),
        "position": _position(centers[biggest]),
        "size": "big" if max(width, height) >= 21 else "small",
    }


def _kind(picture: Picture, blob: NDArray[np.uint8]) -> str:
    """Return the shape whose ideal outline, fitted to the blob's box, overlaps it most.

    The outline is taken at four times the size: a small star is only a few pixels wide.
    """
    image = cv2.resize(picture, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_CUBIC)
    surroundings = cv2.dilate(blob, np.ones((3, 3), np.uint8))
    surroundings = cv2.resize(
        surroundings, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_NEAREST
    )
    core = cv2.erode(blob, np.ones((3, 3), np.uint8))
    inside = _median(picture[(core if core.sum() > 4 else blob).astype(bool)].astype(np.float64))
    outside = _median(picture[cv2.dilate(blob, np.ones((7, 7), np.uint8)) == 0].astype(np.float64))
    background_distance = np.linalg.norm(image - outside, axis=2)
    fine = (
        (np.linalg.norm(image - inside, axis=2) < background_distance) & (surroundings > 0)
    ).astype(np.uint8)
    if not fine.any():
        fine = surroundings
    x, y, width, height = cv2.boundingRect(fine)
    visible = fine[y : y + height, x : x + width] > 0

    def overlap(kind: str) -> float:
        ideal = cv2.resize(_ideal(kind), (width, height), interpolation=cv2.INTER_AREA) > 127
        return float((visible & ideal).sum() / max(1, (visible | ideal).sum()))

    return max(SHAPES, key=overlap)


def _ideal(kind: str) -> NDArray[np.uint8]:
    """Draw the renderer's outline of ``kind``, white in its bounding box."""
    canvas = np.zeros((400, 400), np.uint8)
    if kind == "circle":
        cv2.circle(canvas, (200, 200), 150, 255, -1)
    elif kind == "square":
        canvas[50:350, 50:350] = 255
    else:
        cv2.fillPoly(canvas, [outline(kind, 200, 200, 150)], 255)
    x, y, width, height = cv2.boundingRect(canvas)
    return canvas[y : y + height, x : x + width]


def _position(center: Floats) -> str:
    x, y = (center - 31.5) / 15
    if max(abs(x), abs(y)) < 0.5:
        return "center"
    if abs(x) > abs(y):
        return "left" if x < 0 else "right"
    return "top" if y < 0 else "bottom"


def read_person(picture: Picture) -> dict[str, str]:
    """Read ``color``, ``pattern``, ``hair``, ``skin`` and ``scene`` of a person.

    ``picture`` is uint8 RGB (64, 64, 3).
    """
    image = picture.astype(np.float64)
    top = _median(image[:6])
    bottom = _median(image[-5:, :18])
    scene = min(
        _SCENE_COLORS,
        key=lambda name: float(
            np.linalg.norm(top - _SCENE_COLORS[name][0])
            + np.linalg.norm(bottom - _SCENE_COLORS[name][1])
        ),
    )
    color, pattern = _garment(image[26:38, 28:37])
    return {
        "color": color,
        "pattern": pattern,
        "hair": nearest(_median(image[5:9, 29:36]), HAIR),
        "skin": nearest(_median(image[12:18, 28:37]), SKIN),
        "scene": scene,
    }


def _garment(torso: Floats) -> tuple[str, str]:
    """Return color and pattern of a garment; ``torso`` is float64 (12, 9, 3), RGB 0..255."""
    samples = torso.reshape(-1, 3).astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    cv2.setRNGSeed(0)
    _, labels, centers = cv2.kmeans(
        samples, 2, np.empty(0, np.int32), criteria, 3, cv2.KMEANS_PP_CENTERS
    )
    counts = np.bincount(labels.ravel(), minlength=2)
    chroma = centers.max(axis=1) - centers.min(axis=1)
    distance = float(np.linalg.norm(centers[0] - centers[1]))
    # Stripes and dots are white or dark, so of two distinct colors the vivid one is the garment's.
    vivid = distance > 55 and chroma.max() > 60
    color = nearest(centers[chroma.argmax() if vivid else counts.argmax()], COLORS)
    rows = torso[:, 1:8].mean(axis=(1, 2))
    wave = np.exp(-2j * np.pi * np.arange(12) / 6)
    stripes = abs(((rows - rows.mean()) * wave).sum()) / 6
    within = np.linalg.norm(torso - np.median(torso, axis=1, keepdims=True), axis=2)
    if stripes > _STRIPES:
        return color, "striped"
    return color, "dotted" if float(np.percentile(within, 88)) > _DOTS else "plain"


def check(picture: Picture, thing: Shape | Person) -> dict[str, bool]:
    """Check for each attribute of ``thing`` whether the picture shows it.

    ``picture`` is uint8 RGB (64, 64, 3).
    """
    if isinstance(thing, Shape):
        read = read_shape(picture)
        names = ("background", "color", "kind", "position", "size")
    else:
        read = read_person(picture)
        names = ("scene", "skin", "hair", "color", "pattern")
    return {name: read.get(name) == getattr(thing, name) for name in names}
