"""Likeness tells people apart by hair and skin, whatever they wear and wherever they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from models.diffusion.requests import DiffusionRequest, PicturesBlocked
from models.memory.cache import ModelCache
from models.memory.plans import MemoryPlan
from models.profiles.load import Capability, CapabilityMissing, load_profile, profile_names
from models.tiny.drawing import draw_person, draw_shape
from models.tiny.world import COLORS, HAIR, PATTERNS, SCENES, SKIN, Person, Shape, random_person
from models.tiny.world import is_held_out as never_seen
from models.vision.identity import IdentityScorer
from models.vision.likeness import SAME_PERSON_THRESHOLD, HeadNotFound, generate_until_similar

PERSONS = 40


@cache
def likeness() -> IdentityScorer:
    return IdentityScorer.loader(load_profile("tiny")).load(MemoryPlan.RESIDENT, "cpu")


def persons(rng: random.Random) -> Iterator[Person]:
    while True:
        if never_seen(person := random_person(rng)):
            yield person


def elsewhere(person: Person, rng: random.Random) -> Person:
    """The same one in another scene and outfit."""
    scene = rng.choice([scene for scene in SCENES if scene != person.scene])
    return replace(
        person, scene=scene, color=rng.choice(list(COLORS)), pattern=rng.choice(PATTERNS)
    )


def picture(person: Person, rng: random.Random) -> Image.Image:
    return Image.fromarray(draw_person(person, rng).picture)


def area_under_curve(same: list[float], other: list[float]) -> float:
    """How often the same scores above another, ties counting half."""
    a, b = np.array(same)[:, None], np.array(other)[None]
    return float(((a > b) + 0.5 * (a == b)).mean())


def test_it_tells_the_same_person_from_one_of_other_hair_or_skin() -> None:
    rng = random.Random(77)
    scores: dict[str, list[float]] = {"same": [], "hair": [], "skin": [], "same clothes": []}
    for person, _ in zip(persons(rng), range(PERSONS), strict=False):
        hair = rng.choice([name for name in HAIR if name != person.hair])
        skin = rng.choice([name for name in SKIN if name != person.skin])
        others = {
            "same": elsewhere(person, rng),
            "hair": replace(elsewhere(person, rng), hair=hair),
            "skin": replace(elsewhere(person, rng), skin=skin),
            "same clothes": replace(person, hair=hair, skin=skin),
        }
        reference = [picture(person, rng)]
        for name, other in others.items():
            scores[name].append(likeness().score(reference, picture(other, rng)))
    assert min(scores["same"]) > SAME_PERSON_THRESHOLD
    for name in ("hair", "skin", "same clothes"):
        assert area_under_curve(scores["same"], scores[name]) > 0.97, name
        assert np.median(scores[name]) < SAME_PERSON_THRESHOLD, name


def test_size_of_the_picture_hardly_matters() -> None:
    rng = random.Random(3)
    person = next(persons(rng))
    reference, shown = picture(person, rng), picture(elsewhere(person, rng), rng)
    large = shown.resize((256, 256), Image.Resampling.BICUBIC)
    apart = likeness().score([reference], shown) - likeness().score([reference], large)
    assert abs(apart) < 0.1


def test_a_picture_without_a_head_is_like_nobody_and_no_reference() -> None:
    rng = random.Random(5)
    person = picture(next(persons(rng)), rng)
    shape = Image.fromarray(draw_shape(Shape("square", "blue", "white"), rng))
    assert likeness().score([person], shape) == 0
    assert likeness().score([shape, person], person) == pytest.approx(1)
    with pytest.raises(HeadNotFound, match="shows a face"):
        likeness().score([shape], person)


def test_the_residency_holds_it() -> None:
    rng = random.Random(9)
    person = picture(next(persons(rng)), rng)
    residency = ModelCache.for_device("cpu")
    what = IdentityScorer.loader(load_profile("tiny"))
    assert what.need.weights_mb == 4
    assert residency.run(what, lambda loaded: loaded.score([person], person)) == pytest.approx(1)
    assert residency.stats().plans == {"likeness": "resident"}


@pytest.mark.parametrize("name", [name for name in profile_names() if name != "tiny"])
def test_photographs_are_compared_by_face_and_at_the_documented_threshold(name: str) -> None:
    profile = load_profile(name)
    assert profile.model(Capability.LIKENESS).loader == "FaceRecognizerSF"
    assert profile.part(Capability.LIKENESS, "detector").loader == "FaceDetectorYN"
    assert IdentityScorer.loader(profile).need.weights_mb == 0


def test_a_profile_that_compares_nobody_says_so() -> None:
    tiny = load_profile("tiny")
    drawing = {Capability.TEXT_TO_IMAGE: tiny.capability_config(Capability.TEXT_TO_IMAGE)}
    with pytest.raises(CapabilityMissing, match="'tiny' has no model for likeness"):
        IdentityScorer.loader(tiny.model_copy(update={"capabilities": drawing}))


class Drawer:
    """Draws pictures that score what is written down for their turn."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.seeds: list[int] = []

    def draw(self, request: DiffusionRequest) -> Image.Image:
        self.seeds.append(request.seed)
        return Image.new("L", (1, 1), len(self.seeds) - 1)

    def score(self, image: Image.Image) -> float:
        return self.scores[int(np.asarray(image)[0, 0])]


@pytest.mark.parametrize(
    ("scores", "tries", "best", "drawn"),
    [
        ((0.9,), 3, 0, 1),  # good at once
        ((0.2, 0.8, 0.9), 3, 1, 2),  # the first that is good enough ends it
        ((0.2, 0.5, 0.4, 0.9), 3, 1, 3),  # never good enough: the best, and no more than that
        ((0.0, 0.0), 2, 0, 2),
    ],
)
def test_it_draws_again_until_it_is_alike_and_no_longer(
    scores: tuple[float, ...], tries: int, best: int, drawn: int
) -> None:
    drawer = Drawer(*scores)
    request = DiffusionRequest("a woman", seed=2**32 - 1)
    alike = generate_until_similar(drawer.draw, drawer.score, request, threshold=0.75, tries=tries)
    assert (alike.score, alike.tries) == (scores[best], drawn)
    assert alike.seed == drawer.seeds[best]
    assert drawer.seeds[0] == request.seed
    assert len(set(drawer.seeds)) == len(drawer.seeds) == drawn
    assert all(0 <= seed < 2**32 for seed in drawer.seeds)


def test_what_a_safety_checker_blanked_is_drawn_again_with_another_seed() -> None:
    drawer = Drawer(0.9)
    seeds: list[int] = []

    def draw(request: DiffusionRequest) -> Image.Image:
        seeds.append(request.seed)
        if len(seeds) < 3:
            raise PicturesBlocked({})
        return drawer.draw(request)

    request = DiffusionRequest("a", seed=1)
    assert generate_until_similar(draw, drawer.score, request, 0.5, tries=3).tries == 3
    assert len(set(seeds)) == 3
    seeds.clear()
    with pytest.raises(PicturesBlocked):
        generate_until_similar(draw, drawer.score, request, 0.5, tries=2)


def test_no_tries_are_refused() -> None:
    drawer = Drawer(1.0)
    with pytest.raises(ValueError, match="at least one"):
        generate_until_similar(
            drawer.draw, drawer.score, DiffusionRequest("a", seed=1), 0.5, tries=0
        )
