"""The client's types and calls against the OpenAPI document of the service, field by field."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import atelier_client
from atelier_client.batches import BatchResult
from atelier_client.calls import Answer, Call, Exchange, Open, Page
from atelier_client.client import Client
from atelier_client.events import JobEvent
from atelier_client.generators import _Catalog
from atelier_client.resources import Operation, Resource, Stream
from atelier_client.webhooks import WebhookEvent
from db.settings import StoreSettings
from serve_app.api import create_api
from tests.support.http import settings_for

Json = dict[str, Any]

# The service's name of each type that is not its own with ``View`` at the end.
SERVICE_NAMES = {
    "Alert": "AlertView",
    "ChangedAccount": "ChangedAccountView",
    "Balance": "CreditsView",
    "Generator": "GeneratorView",
    "JobError": "ErrorView",
    "JobMetadata": "MetadataView",
    "Registration": "RegisteredView",
    "RegisteredUser": "RegisteredUserView",
    "TestDelivery": "TriedView",
    "UsageGroup": "UsedView",
    "Used": "Used",
    "WebhookSecret": "SecretView",
}
# Types of what is no answer of a documented call.
OTHERS: tuple[type, ...] = (BatchResult, Page, _Catalog, JobEvent, WebhookEvent)
# Calls that the client leaves to others: pages for people, mails, operators, Stripe.
LEFT_OUT = (
    "/v1/admin/", "/v1/billing/", "/v1/auth/verify", "/v1/auth/refresh", "/v1/auth/password-reset",
    "/v1/me/password", "/v1/me/totp", "/v1/me/passkeys", "/v1/auth/passkeys",
    "/v1/credits/transactions.csv", "/healthz", "/readyz", "/llms.txt",
)  # fmt: skip
# What a method is called with; all others take a text.
ARGUMENTS: Json = {
    "input": {}, "file": b"", "file_ids": ["file_1"], "consent": True, "threshold": 1,
    "lines": b"", "bytes": 1,
}  # fmt: skip
OPTIONS: Json = {
    "wait_s": 1.0, "name": "x", "monthly_cap": 1, "purpose": "input", "description": "x",
    "scene": 1, "by": ["day"], "priority": "low", "metadata": {"a": 1}, "webhook_url": "http://x",
    "status": "queued", "generator": "image", "limit": 1, "after": "x", "kind": "grant",
    "job_id": "x", "scopes": ["files"], "device_token": "x",
    "otp": "x", "batch": "x",
    "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Json:
    stores = StoreSettings(
        DATABASE_URL="postgresql://127.0.0.1/none", REDIS_URL="redis://127.0.0.1",
        S3_ENDPOINT="http://127.0.0.1", S3_ACCESS_KEY="none", S3_SECRET_KEY="none",
    )  # fmt: skip
    return create_api(["deployments.generators.image"], settings_for(stores)).openapi()


def answers() -> Iterator[type[Answer]]:
    for module in pkgutil.iter_modules(atelier_client.__path__, "atelier_client."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = found.__module__ == module.name and issubclass(found, Answer)
            if own and found is not Answer and not issubclass(found, OTHERS):
                yield found


def service_name(answer: type[Answer]) -> str:
    return SERVICE_NAMES.get(answer.__name__, f"{answer.__name__}View")


def shape(schema: Any, names: dict[str, str] | None = None) -> Any:
    """A schema without its words and bounds, its references by the service's names."""
    if isinstance(schema, list):
        return sorted((shape(item, names) for item in schema), key=repr)
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return (names or {}).get(name, name)
    kept = ("type", "format", "anyOf", "items", "enum", "const", "additionalProperties", "default")
    found = {key: shape(schema[key], names) for key in kept if key in schema}
    return {key: value for key, value in found.items() if (key, value) != ("default", None)}


@pytest.mark.parametrize("answer", list(answers()), ids=lambda answer: answer.__name__)
def test_an_answer_has_the_fields_of_the_services(answer: type[Answer], document: Json) -> None:
    theirs = document["components"]["schemas"][service_name(answer)]
    ours = answer.model_json_schema(mode="serialization")
    names = {found.__name__: service_name(found) for found in answers()}
    assert {name: shape(field, names) for name, field in ours["properties"].items()} == {
        name: shape(field) for name, field in theirs["properties"].items()
    }
    assert sorted(ours["required"]) == sorted(theirs["required"])


def test_every_answer_is_compared() -> None:
    assert len(list(answers())) > 25


def call_of(method: Operation[..., Any] | Stream[..., Any], *, options: bool) -> Call:
    """The first request of a method, given all options or none."""
    given: Json = {}
    for name, parameter in inspect.signature(method._flow).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= {"name": "x", "monthly_cap": 1}
        elif parameter.default is parameter.empty:
            given[name] = ARGUMENTS.get(name, "x")
        elif options and name in OPTIONS:
            given[name] = OPTIONS[name]
    step = next(method._flow(**given))
    assert isinstance(step, Exchange | Open)
    return step.call


def methods() -> Iterator[tuple[str, Operation[..., Any] | Stream[..., Any]]]:
    with Client("http://127.0.0.1") as client:
        places = [("", client), *(p for p in vars(client).items() if isinstance(p[1], Resource))]
        for place, resource in places:
            for kind in type(resource).__mro__:
                for name, found in vars(kind).items():
                    if isinstance(found, Operation | Stream):
                        yield f"{place}.{name}".removeprefix("."), found


# These begin with the call of another method.
COMPOSED = {
    "run", "save", "jobs.save", "jobs.wait", "batches.wait", "files.download", "uploads.send",
}  # fmt: skip
METHODS = {name: method for name, method in methods() if name not in COMPOSED}


def operation_of(call: Call, document: Json) -> tuple[str, Json]:
    for path, item in document["paths"].items():
        parts, given = path.split("/"), call.url.split("/")
        fits = len(parts) == len(given) and all(
            part == word or (part.startswith("{") and word == "x")
            for part, word in zip(parts, given, strict=True)
        )
        if fits and call.method.lower() in item:
            found: Json = item[call.method.lower()]
            return f"{call.method} {path}", found
    raise AssertionError(f"there is no {call.method} {call.url}")


@pytest.mark.parametrize("options", [False, True], ids=["bare", "with all options"])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_calls_what_there_is(name: str, options: bool, document: Json) -> None:
    call = call_of(METHODS[name], options=options)
    _, operation = operation_of(call, document)
    parameters = {one["name"]: one["in"] for one in operation.get("parameters", ())}
    queries = {
        one["name"]
        for one in operation.get("parameters", ())
        if one["in"] == "query" and one["schema"].get("type") != "object"  # callers name those
    }
    assert set(call.params) <= queries
    if call.method == "GET":
        assert set(call.params) == queries, "each query parameter has an option"
    assert ("Idempotency-Key" in parameters) == ("Idempotency-Key" in call.headers)
    content = operation.get("requestBody", {}).get("content", {})
    files = {"file": ...} if call.file else {}
    sent = {**call.form, **files} if call.json is None else call.json
    if not content:
        assert not sent
        return
    ((kind, body),) = content.items()
    assert (kind == "application/json") == (call.json is not None)
    schema = body["schema"]
    schema = next((one for one in schema.get("anyOf", ()) if "$ref" in one), schema)
    fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert (
        set(fields.get("required", ())) - {"grant_type"} <= set(sent) <= set(fields["properties"])
    )


def test_every_call_has_a_method(document: Json) -> None:
    calls = [call_of(method, options=False) for method in METHODS.values()]
    called = {operation_of(call, document)[0] for call in calls}
    offered = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if not path.startswith(LEFT_OUT)
    }
    assert called == offered
