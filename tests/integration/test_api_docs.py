"""docs/api.md says what the API does: every call, every error, every field."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.contract import GeneratorSpec
from scripts import reference
from serve_app.api import create_api
from serve_app.http import errors
from serve_app.settings import AuthSettings, LimitSettings, Settings
from tests.support.http import SECRET

CODE = re.compile(r'code="(\w+)"')
DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def documented() -> set[tuple[str, str]]:
    return set(re.findall(r"`(GET|POST|PUT|DELETE|PATCH) (/[^` ?]*)`", DOCS))


@pytest.fixture(scope="module")
def offered(store_settings: object) -> Iterator[set[tuple[str, str]]]:
    settings = Settings(store_settings, AuthSettings(JWT_SECRET=SECRET), LimitSettings())
    paths = create_api(["deployments.generators.image"], settings).openapi()["paths"]
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


def test_every_code_a_generator_fails_with_is_documented() -> None:
    sources = (reference.ROOT / "deployments").rglob("*.py")
    codes = {code for path in sources for code in CODE.findall(path.read_text())}
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in DOCS} == set()


def test_the_page_of_options_is_what_the_schemas_say() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.render_page(
        reference.shipped_specs()
    ), "run: python -m scripts.reference --write"


@pytest.mark.parametrize("spec", reference.shipped_specs(), ids=lambda spec: spec.name)
def test_every_generator_is_shown(spec: GeneratorSpec[Any]) -> None:
    assert f"### `{spec.name}`" in DOCS
    assert f"scripts.make {spec.name} " in (reference.PAGE.parent / "gallery.md").read_text()
