"""docs/api.md says what the API does: every call, every error, every field."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.contract import GeneratorSpec
from deployments.error_codes import JOB_ERROR_CODES
from models.vision.human_parsing import RejectionReason
from scripts import error_codes, reference
from serve_app.api import create_api
from serve_app.http import errors
from serve_app.http.field_codes import FIELD_CODES
from serve_app.settings import AuthSettings, LimitSettings, Settings
from tests.support.http import SECRET

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
    hidden = {("GET", "/metrics"), ("GET", "/"), ("GET", "/status")}
    assert documented() - offered == hidden


def test_the_tables_of_codes_are_what_the_code_says() -> None:
    assert error_codes.render_page(DOCS) == DOCS, "run: python -m scripts.error_codes --write"
    assert set(re.findall(r"<!-- codes: (\w+) -->", DOCS)) == {"http", "job", "field"}


@pytest.mark.parametrize("problem", list(error_codes.problems()), ids=lambda problem: problem.code)
def test_every_problem_is_documented(problem: type[errors.Problem]) -> None:
    assert re.search(rf"\| {problem.status} \| `{problem.code}` \|", DOCS)
    assert problem is errors.Problem or "when" in vars(problem)


def test_no_code_is_listed_twice() -> None:
    listed = [(code.source, code.code) for code in error_codes.error_codes()]
    assert len(listed) == len(set(listed))


def sources(*folders: str) -> Iterator[ast.Module]:
    for folder in folders:
        for path in (reference.ROOT / folder).rglob("*.py"):
            if path.name != "error_codes.py":
                yield ast.parse(path.read_text())


def text(node: ast.expr) -> Iterator[str]:
    """The strings that ``node`` may be: a literal, either side of a condition, values of a dict."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from text(node.body)
        yield from text(node.orelse)
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from text(value)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get"):
        for default in node.args[1:]:
            yield from text(default)


def job_codes(node: ast.AST) -> Iterator[str]:
    """The codes in a call that fails a job, or in a name that such a call is given."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, arguments = node.func.id, node.args
        if name == "BadInput":
            for value in arguments[1:2] + [key.value for key in node.keywords if key.arg == "code"]:
                yield from text(value)
        elif name == "_failure":
            for value in arguments[:1]:
                yield from text(value)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if ast.unparse(target) in ("code", "reasons", "_BAD_INPUT_CODES", "_UNAVAILABLE_CODES"):
            yield from text(node.value)


def test_every_code_that_a_job_fails_with_is_listed() -> None:
    listed = {code.code for code in JOB_ERROR_CODES}
    used = {
        code
        for tree in sources("deployments")
        for node in ast.walk(tree)
        for code in job_codes(node)
    }
    assert len(used) > 30
    assert used - listed == set()
    assert {reason.value for reason in RejectionReason} <= listed


def test_every_listed_code_of_jobs_is_used() -> None:
    literals = {
        node.value
        for tree in sources("deployments", "models")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {code.code for code in JOB_ERROR_CODES} - literals == set()


def field_codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "PydanticCustomError":
            yield from text(node.args[0])
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "code":
                yield from text(value)


def test_every_code_of_a_field_is_listed_and_used() -> None:
    pydantics = {"enum", "json_invalid"}
    used = {
        code
        for tree in sources("serve_app", "deployments")
        for node in ast.walk(tree)
        for code in field_codes(node)
    }
    assert used - pydantics == set(FIELD_CODES)


def test_the_page_of_options_is_what_the_schemas_say() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.render_page(
        reference.shipped_specs()
    ), "run: python -m scripts.reference --write"


@pytest.mark.parametrize("spec", reference.shipped_specs(), ids=lambda spec: spec.name)
def test_every_generator_is_shown(spec: GeneratorSpec[Any]) -> None:
    assert f"### `{spec.name}`" in DOCS
    assert f"atelier run {spec.name} " in (reference.PAGE.parent / "gallery.md").read_text()
