"""What fal's clients send becomes the input of a generator, or stays to be refused."""

from typing import Any

import pytest

from deployments.generators.cloth_swap.spec import SPEC as CLOTH_SWAP
from deployments.generators.image.spec import SPEC as IMAGE
from serve_app.fal.models import IMAGE_SIZES, generator_input
from serve_app.fal.results import request_urls

FILES = "https://media.example.com/fal/files/"
PERSON, GARMENT = "https://e.com/p", "https://e.com/g"


def image(endpoint: str = "fal-ai/flux/dev", **given: Any) -> dict[str, Any]:
    return generator_input(IMAGE, endpoint, given, FILES)


@pytest.mark.parametrize("name", IMAGE_SIZES)
def test_named_sizes_become_sides(name: str) -> None:
    width, height = IMAGE_SIZES[name]
    assert image(image_size=name) == {"width": width, "height": height}


@pytest.mark.parametrize("size", ["square-hd", "1024x1024", 7, {"width": 64}, {"prompt": "x"}])
@pytest.mark.parametrize("endpoint", ["fal-ai/flux/dev", "atelier/image"])
def test_a_size_that_is_none_is_refused(size: Any, endpoint: str) -> None:
    given = image(endpoint, prompt="a cat", image_size=size)
    assert given == {"prompt": "a cat", "image_size": size}
    with pytest.raises(ValueError, match="image_size"):
        IMAGE.request.model_validate(given)


def test_other_fields_of_fals_are_ignored_and_ours_are_not() -> None:
    assert image(prompt="a cat", enable_safety_checker=True) == {"prompt": "a cat"}
    assert image("atelier/image", prompt="a cat", colour="red")["colour"] == "red"


def test_media_are_links_data_or_what_was_uploaded() -> None:
    assert image(image_url=PERSON)["init_image"] == {"url": PERSON}
    data = "data:image/png;base64,AA=="
    assert image(mask_url=data)["mask"] == {"data": data}
    assert image(image_url=f"{FILES}file_1")["init_image"] == {"file_id": "file_1"}


@pytest.mark.parametrize(
    ("given", "category"),
    [
        ({"model_image": PERSON, "garment_image": GARMENT}, None),
        (
            {"human_image_url": PERSON, "garment_image_url": GARMENT, "cloth_type": "overall"},
            "dress",
        ),
        ({"model_image": PERSON, "garment_image": GARMENT, "category": "tops"}, "upper"),
    ],
)
def test_a_garment_is_put_on(given: dict[str, str], category: str | None) -> None:
    made = generator_input(CLOTH_SWAP, "fal-ai/cat-vton", given, FILES)
    garment: dict[str, Any] = {"image": {"url": GARMENT}}
    if category is not None:
        garment["category"] = category
    assert made == {"person_image": {"url": PERSON}, "garments": [garment]}
    assert CLOTH_SWAP.request.model_validate(made)


def test_what_cannot_be_put_on_is_refused() -> None:
    two = {"model_image": PERSON, "garment_image": GARMENT, "garment_image_url": GARMENT}
    made = generator_input(CLOTH_SWAP, "fal-ai/cat-vton", two, FILES)
    with pytest.raises(ValueError, match="garment_image_url"):
        CLOTH_SWAP.request.model_validate(made)


def test_a_name_without_an_owner_has_links_too() -> None:
    assert request_urls("https://e.com/", "image", "job_1")["status_url"] == (
        "https://e.com/fal/queue/atelier/image/requests/job_1/status"
    )
    assert request_urls("https://e.com/", "fal-ai/flux/dev", "job_1")["cancel_url"] == (
        "https://e.com/fal/queue/fal-ai/flux/requests/job_1/cancel"
    )
