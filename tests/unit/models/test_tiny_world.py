"""The checker must read the truth out of what the renderer draws, or it can judge nothing."""

import random

import numpy as np
import pytest

from models.tiny.checker import check, read_shape
from models.tiny.data import make_samples, random_subject
from models.tiny.drawing import draw_person, draw_shape
from models.tiny.evaluate import adherence, drawn_by_world
from models.tiny.world import Person, Shape, caption, is_held_out, unseen


def test_the_checker_reads_every_attribute_of_rendered_pictures() -> None:
    things = unseen(150, seed=9)
    table = adherence(drawn_by_world(things), things)
    for kind in ("shape", "person"):
        assert min(table[kind].values()) > 0.97, table[kind]


@pytest.mark.parametrize(
    ("name", "other"), [("color", "pink"), ("background", "black"), ("kind", "star")]
)
def test_the_checker_sees_what_is_wrong(name: str, other: str) -> None:
    shown = Shape("circle", "red", "blue")
    picture = draw_shape(shown, random.Random(1))
    assert all(check(picture, shown).values())
    wanted = Shape(**{**vars(shown), name: other})
    assert [key for key, right in check(picture, wanted).items() if not right] == [name]


def test_an_empty_picture_shows_a_background_and_no_shape() -> None:
    assert read_shape(np.full((64, 64, 3), 30, np.uint8)) == {"background": "black"}


def test_a_person_comes_with_parse_map_and_flat_garment() -> None:
    person = Person("woman", "red", "pale", "blue", "plain", "dress", "beach")
    drawn = draw_person(person, random.Random(1))
    assert drawn.picture.shape == drawn.garment.shape == (64, 64, 3)
    assert {0, 1, 2, 7} <= set(np.unique(drawn.parts)), "background, hair, face, dress"
    red, _, blue = drawn.garment[30, 32]
    assert blue > red


def test_held_out_combinations_are_never_trained_on_and_are_a_tenth() -> None:
    rng = random.Random(4)
    drawn = [random_subject(rng, persons=0.5) for _ in range(500)]
    assert not any(is_held_out(one) for one in drawn)
    rng = random.Random(4)
    from models.tiny.world import random_person, random_shape

    share = (
        np.mean(
            [is_held_out(random_person(rng)) + is_held_out(random_shape(rng)) for _ in range(3000)]
        )
        / 2
    )
    assert 0.05 < share < 0.2


def test_captions_say_everything_or_leave_out_what_people_leave_out() -> None:
    person = Person("man", "gray", "tan", "green", "striped", "shirt", "city")
    full = caption(person)
    assert full == "a man with tan skin and gray hair in a green striped shirt at the city"
    short = {caption(person, random.Random(seed)) for seed in range(20)}
    assert any("skin" not in text for text in short)
    assert all("gray hair" in text and "green" in text and "city" in text for text in short)


def test_samples_depend_on_the_seed_and_not_on_the_processes() -> None:
    one = make_samples(30, seed=2, processes=1)
    two = make_samples(30, seed=2, processes=2)
    assert np.array_equal(one.pictures, two.pictures)
    assert one.captions == two.captions
    assert not np.array_equal(one.pictures, make_samples(30, seed=3, processes=1).pictures)
