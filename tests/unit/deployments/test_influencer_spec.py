"""What the influencer generator takes, what it costs, and the words it draws from."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from deployments.generators.common.sizes import aspect_ratio, crop_to_aspect, drawn_size, film_size
from deployments.generators.influencer.outfits import garment_category
from deployments.generators.influencer.prompts import prompt_for, subject_of
from deployments.generators.influencer.spec import SPEC, InfluencerRequest, Shot
from deployments.references import find_references
from models.profiles.load import load_profile, profile_names

PICTURE = {"data": "data:image/png;base64,AAAA"}
SAVED = {"persona_id": "per_01ARZ3NDEKTSV4RRFFQ69G5FAV"}
BEACH = {"scene": "beach"}


def asked(**fields: Any) -> InfluencerRequest:
    return InfluencerRequest.model_validate({"person": SAVED, "images": [BEACH]} | fields)


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        ({}, "exactly one"),
        (SAVED | {"reference_images": [PICTURE], "consent": True}, "exactly one"),
        ({"reference_images": [PICTURE]}, "agreed"),
        ({"reference_images": [PICTURE], "consent": False}, "True"),
        ({"reference_images": [], "consent": True}, "at least 1"),
        ({"reference_images": [PICTURE] * 9, "consent": True}, "at most 8"),
    ],
)
def test_somebody_must_be_named_once_and_have_agreed(person: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        asked(person=person)


@pytest.mark.parametrize(
    "fields",
    [{"images": []}, {"images": [BEACH] * 13}, {"images": [{"scene": " "}]}, {"max_redraws": 4}],
)
def test_what_is_out_of_bounds_is_refused(fields: Any) -> None:
    with pytest.raises(ValidationError):
        asked(**fields)


def test_the_runner_finds_every_reference() -> None:
    given = {"reference_images": [PICTURE, PICTURE], "consent": True}
    names = [found.name for found in find_references(asked(person=given))]
    assert names == ["person.reference_images.0", "person.reference_images.1"]
    assert [found.name for found in find_references(asked())] == ["person.persona_id"]


def test_more_work_never_costs_less() -> None:
    clip = {"seconds_per_image": 3}
    dearer: list[dict[str, Any]] = [
        {},
        {"images": [BEACH] * 4},
        {"images": [BEACH] * 4, "steps": 31},
        {"images": [BEACH] * 4, "steps": 31, "clip": clip},
        {"images": [BEACH] * 4, "steps": 31, "clip": clip | {"narration": "x"}},
        {"images": [BEACH] * 4, "steps": 31, "clip": clip | {"narration": "x" * 501}},
    ]
    quotes = [SPEC.quote(asked(**fields)) for fields in dearer]
    assert quotes == [3, 12, 24, 28, 29, 30]


@pytest.mark.parametrize(
    ("shot", "words"),
    [
        (Shot(scene="beach"), "a woman with red hair at the beach"),
        (Shot(scene="a beach."), "a woman with red hair at a beach"),
        (Shot(scene="in the rain"), "a woman with red hair in the rain"),
        (Shot(scene="Rome"), "a woman with red hair, Rome"),
        (
            Shot(scene="beach", outfit="a blue shirt"),
            "a woman with red hair in a blue shirt at the beach",
        ),
        (
            Shot(scene="beach", outfit="wearing jeans", pose="waving."),
            "a woman with red hair wearing jeans, waving, at the beach",
        ),
        (Shot(scene="Rome", pose="waving"), "a woman with red hair, waving, Rome"),
        (Shot(scene="海辺で"), "a woman with red hair, 海辺で"),
    ],
)
def test_the_prompt_is_one_caption(shot: Shot, words: str) -> None:
    assert prompt_for(shot, "a woman with red hair.", None) == words
    assert prompt_for(shot, "a woman with red hair", "film grain") == f"{words}, film grain"


def test_looks_that_nobody_named_are_not_made_up() -> None:
    assert prompt_for(Shot(scene="beach"), "", None) == "a person at the beach"


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("aspect", [None, "1:1", "4:5", "9:16", "16:9"])
def test_a_picture_is_drawn_as_large_as_the_model_may_and_cut_to_its_aspect(
    profile: str, aspect: str | None
) -> None:
    installed = load_profile(profile)
    width, height = drawn_size(installed, aspect)
    assert width % 16 == height % 16 == 0
    picture = crop_to_aspect(Image.new("RGB", (width, height)), aspect)
    assert picture.width <= width and picture.height <= height
    if aspect is not None:
        assert abs(picture.width - picture.height * aspect_ratio(aspect)) <= 1
    if profile != "tiny":  # which draws squares only
        assert picture.width * picture.height > 0.7 * width * height


@pytest.mark.parametrize(
    ("aspect", "shorter", "size"),
    [
        ("1:1", 64, (360, 360)),
        ("9:16", 1024, (1024, 1820)),
        ("9:16", 4000, (1080, 1920)),
        ("16:9", 832, (1480, 832)),
    ],
)
def test_a_film_is_of_a_size_that_players_like(
    aspect: str, shorter: int, size: tuple[int, int]
) -> None:
    assert film_size(aspect, shorter) == size


@pytest.mark.parametrize(
    ("description", "head"),
    [
        ("a woman with red hair", "a woman"),
        ("a tall man, 40, bald", "a tall man"),
        ("an old woman in a green coat", "an old woman"),
        ("a woman", "a woman"),
        ("", ""),
    ],
)
def test_who_it_is_without_the_looks(description: str, head: str) -> None:
    assert subject_of(description) == head


@pytest.mark.parametrize(
    ("outfit", "covered"),
    [
        ("a blue shirt", "upper"),
        ("two shirts, worn over each other", "upper"),
        ("black jeans", "lower"),
        ("a shirt and jeans", "dress"),
        ("a red dress", "dress"),
        ("a space suit", "dress"),
        ("", "dress"),
    ],
)
def test_which_clothes_an_outfit_replaces(outfit: str, covered: str) -> None:
    assert garment_category(outfit) == covered


@pytest.mark.parametrize(
    ("clip", "field", "words"),
    [
        ({"narration": "海边的一天，阳光很好。"}, "language", '"language": "zh"'),
        ({"narration": "Hello", "language": "tlh-x"}, "language", "No installed voice"),
        ({"narration": "Hello", "language": "de", "voice": "en-us"}, "voice", "does not speak"),
        ({"narration": "Hello", "language": "de", "voice": "bf_emma"}, "voice", "does not speak"),
    ],
)
def test_a_narration_that_no_voice_can_read_is_refused(
    clip: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        asked(clip=clip)
    [error] = refused.value.errors()
    assert error["loc"] == ("clip", field) and words in error["msg"]
