"""The thing of a picture is cut out of plain, transparent and busy grounds, or that is refused."""

import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.tiny.drawing import draw_person
from models.tiny.world import Person
from models.vision.cutout import NoSubjectFound, extract_subject, needs_depth, place_on_background

BALL = (90, 60, 170, 140)
RED = (210, 40, 40)


def overlap(mask: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    found = mask > 0.5
    return float((found & truth).sum() / (found | truth).sum())


def ball(ground: Any) -> tuple[Image.Image, NDArray[np.bool_]]:
    image = ground if isinstance(ground, Image.Image) else Image.new("RGB", (256, 192), ground)
    ImageDraw.Draw(image).ellipse(BALL, fill=RED)
    truth = Image.new("1", image.size)
    ImageDraw.Draw(truth).ellipse(BALL, fill=1)
    return image, np.asarray(truth)


def shaded() -> Image.Image:
    """A wall that is darker at the bottom, as photos of things have it."""
    levels = np.linspace(240, 190, 192).astype(np.uint8)
    return Image.fromarray(np.repeat(np.repeat(levels[:, None, None], 256, axis=1), 3, axis=2))


@pytest.mark.parametrize("ground", [(255, 255, 255), (20, 20, 24), (200, 60, 60), "shaded"])
def test_it_is_cut_out_of_a_plain_ground(ground: Any) -> None:
    image, truth = ball(shaded() if ground == "shaded" else ground)
    found = extract_subject(image)
    assert found.background_kind == "plain" and not needs_depth(image)
    assert overlap(found.mask, truth) > 0.97


def test_a_hole_is_open_and_a_light_on_the_thing_is_none() -> None:
    image, truth = ball((255, 255, 255))
    ImageDraw.Draw(image).ellipse((118, 88, 142, 112), fill=(255, 255, 255))
    ImageDraw.Draw(image).ellipse((104, 74, 109, 79), fill=(255, 255, 255))
    mask = extract_subject(image).mask
    assert mask[100, 130] == 0
    assert mask[76, 106] == 1
    assert mask[100, 100] == 1 and truth[100, 100]


def test_transparency_decides_where_there_is_any() -> None:
    image, truth = ball(Image.effect_noise((256, 192), 90).convert("RGB"))
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray((truth * 255).astype(np.uint8)))
    found = extract_subject(clear)
    assert found.background_kind == "transparent"
    assert overlap(found.mask, truth) == 1


def test_before_a_busy_ground_it_is_what_is_nearest() -> None:
    person = Person("man", "black", "dark", "blue", "plain", "shirt", "city")
    drawn = draw_person(person, random.Random(2))
    image = Image.fromarray(drawn.picture)
    assert needs_depth(image)
    found = extract_subject(image, drawn.depth)
    assert found.background_kind == "depth"
    assert overlap(found.mask, drawn.parts > 0) > 0.8
    with pytest.raises(NoSubjectFound, match="not plain"):
        extract_subject(image)


def test_a_picture_of_nothing_is_refused_with_what_would_do() -> None:
    with pytest.raises(NoSubjectFound, match="nothing but its ground"):
        extract_subject(Image.new("RGB", (64, 64), (90, 120, 90)))
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    with pytest.raises(NoSubjectFound):
        extract_subject(noise, np.zeros((64, 64), np.float32))


def test_the_thing_stands_alone_in_the_middle_of_a_square() -> None:
    image, truth = ball((30, 160, 60))
    square = place_on_background(image, truth.astype(np.float32), (255, 255, 255), 0.1)
    pixels = np.asarray(square)
    assert square.width == square.height == pytest.approx(101, abs=2)
    assert (pixels[0] == 255).all() and (pixels[:, -1] == 255).all()
    assert np.abs(pixels[50, 50].astype(int) - RED).max() < 3
