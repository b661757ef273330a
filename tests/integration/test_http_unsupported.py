"""What the installed models cannot do is refused at the door, where the profile is known."""

from typing import Any

import pytest

from tests.support.http import Person

ASKED = {"prompt": "a cat", "negative_prompt": "a dog"}


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"ATELIER_PROFILE": request.param}


@pytest.mark.parametrize("api_settings", ["rtx4090"], indirect=True)
async def test_a_field_that_the_installed_models_cannot_follow_is_refused(ada: Person) -> None:
    quote = await ada.post("/v1/generators/image/quote", json={"input": ASKED})
    assert quote.status_code == 422, quote.text
    (field,) = quote.json()["errors"]
    assert (field["loc"], field["code"]) == (["input", "negative_prompt"], "not_supported")
    submitted = await ada.post("/v1/jobs", json={"generator": "image", "input": ASKED})
    assert submitted.status_code == 422


@pytest.mark.parametrize("api_settings", ["tiny", "a profile of the replicas", None], indirect=True)
async def test_it_is_accepted_where_they_can_or_nobody_knows(ada: Person) -> None:
    quote = await ada.post("/v1/generators/image/quote", json={"input": ASKED})
    assert quote.status_code == 200, quote.text
