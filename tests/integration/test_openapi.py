"""The OpenAPI document names every answer of every call."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from db.settings import StoreSettings
from serve_app.api import create_api
from tests.support.http import Person, World, settings_for

Operation = dict[str, Any]


@pytest.fixture(scope="module")
def document(store_settings: StoreSettings) -> dict[str, Any]:
    api = create_api(["deployments.generators.image"], settings_for(store_settings))
    assert api.openapi() is api.openapi()
    return api.openapi()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[tuple[str, str], Operation]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def refusals(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, answer in operation["responses"].items():
        if status[0] in "45" and "application/json" not in answer["content"]:
            yield status, answer


def test_every_refusal_is_a_problem_document(
    operations: dict[tuple[str, str], Operation], document: dict[str, Any]
) -> None:
    for operation in operations.values():
        for _, answer in refusals(operation):
            (content,) = answer["content"].items()
            schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
            assert content == ("application/problem+json", schema)
    assert {"HTTPValidationError", "ValidationError"}.isdisjoint(document["components"]["schemas"])


@pytest.mark.parametrize(
    ("call", "statuses"),
    [
        (("GET", "/healthz"), {"200", "422"}),
        (("GET", "/v1/me"), {"200", "401", "422", "429", "503"}),
        (("GET", "/v1/credits"), {"200", "401", "403", "422", "429", "503"}),
        (
            ("DELETE", "/v1/jobs/{job_id}"),
            {"204", "401", "403", "404", "409", "422", "429", "503"},
        ),
        (
            ("POST", "/v1/jobs"),
            {"202", "401", "402", "403", "404", "408", "413", "415", "422", "429", "503"},
        ),
        (
            ("POST", "/v1/files"),
            {"201", "401", "403", "408", "413", "415", "422", "429", "503"},
        ),
        (("POST", "/v1/billing/stripe/webhook"), {"200", "400", "404", "408", "413", "422", "503"}),
    ],
)
def test_a_call_has_the_statuses_of_what_it_depends_on(
    operations: dict[tuple[str, str], Operation], call: tuple[str, str], statuses: set[str]
) -> None:
    assert set(operations[call]["responses"]) == statuses


def test_every_answer_has_the_headers_of_its_status(
    operations: dict[tuple[str, str], Operation],
) -> None:
    for operation in operations.values():
        for status, answer in operation["responses"].items():
            assert "X-Request-ID" in answer["headers"]
            assert ("Retry-After" in answer["headers"]) == (status in ("429", "503"))
            assert ("WWW-Authenticate" in answer["headers"]) == (status == "401")
    created = operations["POST", "/v1/jobs"]["responses"]["202"]["headers"]
    assert created.keys() == {
        "Location", "X-Request-ID", "RateLimit", "RateLimit-Policy", "Idempotent-Replayed",
    }  # fmt: skip


def test_a_refusal_says_which_codes_it_has(
    operations: dict[tuple[str, str], Operation],
) -> None:
    described = operations["POST", "/v1/jobs"]["responses"]["429"]["description"]
    assert "`rate_limited`" in described
    assert "`too_many_waiting`" in described


async def test_a_problem_fits_the_schema_it_is_described_with(
    api: World, ada: Person, document: dict[str, Any]
) -> None:
    schema = {**document["components"]["schemas"]["Problem"], "components": document["components"]}
    answers = [
        await api.http.get("/v1/me"),
        await ada.get("/v1/nothing"),
        await ada.get("/v1/jobs?limit=0"),
        await ada.post("/v1/jobs", content=b"{"),
    ]
    assert [answer.status_code for answer in answers] == [401, 404, 422, 415]
    for answer in answers:
        jsonschema.validate(answer.json(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"detail": "no"}, schema)


@pytest.mark.parametrize(
    ("schema", "field", "most"),
    [
        ("ApiKeyBody", "monthly_cap", 10**12),
        ("UserLimitsBody", "max_running_jobs", 10**6),
        ("GrantBody", "amount", 10**12),
        ("AlertBody", "threshold", 10**12),
    ],
)
def test_the_bounds_of_numbers_are_in_the_document(
    document: dict[str, Any], schema: str, field: str, most: int
) -> None:
    found = document["components"]["schemas"][schema]["properties"][field]
    number = found.get("anyOf", [found])[0]
    assert number["type"] == "integer"
    assert number["maximum"] == most
    assert number["minimum"] in (0, 1)
