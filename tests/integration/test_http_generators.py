"""What the catalogue says of a generator, and what a quote says of a job."""

from typing import Any

import pytest

from tests.support.http import WELCOME, Person, World


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.mark.parametrize(
    ("given", "credits"),
    [
        ({}, 2),
        ({"n": 3}, 6),
        ({"width": 512, "height": 512, "steps": 30}, 2),
        ({"width": 512, "height": 520}, 4),
        ({"width": 1024, "height": 1024}, 8),
        ({"steps": 31}, 4),
        ({"n": 2, "steps": 60}, 8),
    ],
)
async def test_a_quote_is_what_the_job_holds(
    api: World, ada: Person, given: dict[str, Any], credits: int
) -> None:
    asked = {"prompt": "a red circle", **given}
    quote = (await ada.post("/v1/generators/image/quote", json={"input": asked})).json()
    assert quote["credits"] == sum(line["credits"] for line in quote["breakdown"]) == credits
    assert await api.nothing_happened(ada.id)
    job = await ada.post("/v1/jobs", json={"generator": "image", "input": asked})
    assert job.json()["cost"]["estimated"] == credits
    assert await api.assert_adds_up(ada.id) == (WELCOME - credits, credits)


async def test_the_catalogue_says_what_to_send_and_how_long_the_queue_is(
    api: World, ada: Person
) -> None:
    await ada.job()
    listed = (await api.http.get("/v1/generators")).json()["data"]
    image = (await api.http.get("/v1/generators/image")).json()
    assert listed == [image] and image["name"] == "image"
    schema = image["input_schema"]
    assert {"prompt", "width", "height", "n", "steps", "seed"} <= schema["properties"].keys()
    assert (schema["required"], schema["additionalProperties"]) == (["prompt"], False)
    assert schema["properties"]["prompt"]["maxLength"] == 2000
    assert image["title"] and image["description"]
    assert image["pricing"] == {"unit": "credit", "version": "image-2"}
    assert image["queue"] == {"waiting": 1, "active": 0}
    # Its own four seconds and a part of those before it: a replica takes sixteen at a time.
    assert (image["replicas"], image["eta_s"]) == (None, 4.2)
