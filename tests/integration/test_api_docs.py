"""docs/api.md says what the API does: every call, every error, every field."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.image.spec import ImageRequest
from serve_app import errors
from serve_app.api import create_api
from serve_app.settings import AuthSettings, LimitSettings, Settings
from tests.support.http import SECRET

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def documented() -> set[tuple[str, str]]:
    return set(re.findall(r"`(GET|POST|DELETE|PATCH) (/[^` ?]*)`", DOCS))


@pytest.fixture(scope="module")
def offered(store_settings: object) -> Iterator[set[tuple[str, str]]]:
    settings = Settings(store_settings, AuthSettings(JWT_SECRET=SECRET), LimitSettings())
    paths = create_api(settings).openapi()["paths"]
    yield {(method.upper(), path) for path, item in paths.items() for method in item}


def test_every_call_is_documented(offered: set[tuple[str, str]]) -> None:
    assert offered - documented() == set()


def test_nothing_is_documented_that_is_not_there(offered: set[tuple[str, str]]) -> None:
    hidden = {("GET", "/metrics")}
    assert documented() - offered == hidden


def problems(base: type[errors.Problem] = errors.Problem) -> Iterator[type[errors.Problem]]:
    for problem in base.__subclasses__():
        if problem.__module__ == errors.__name__:
            yield problem
            yield from problems(problem)


@pytest.mark.parametrize("problem", list(problems()), ids=lambda problem: problem.code)
def test_every_problem_is_documented(problem: type[errors.Problem]) -> None:
    assert re.search(rf"\| {problem.status} \|[^\n]*`{problem.code}`", DOCS)


@pytest.mark.parametrize("field", ImageRequest.model_fields)
def test_every_field_of_the_image_generator_is_documented(field: str) -> None:
    assert re.search(rf"\n\| [^\n|]*`{field}`", DOCS.partition("### `image`")[2])
