"""The OpenAPI document, with every status that a call can answer.

FastAPI knows the answer when all goes well. The refusals are derived from what a route depends
on: an identity means 401 and 429, a body 408, 413, 415 and 422, an id in the path 404. What one
route alone refuses is declared there: ``responses=problem_responses(NotEnoughCredits)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from serve_app.auth.identity import PermissionCheck, identify
from serve_app.http import errors
from serve_app.http.dependencies import FORM_TYPES, JSON_TYPE, get_clients
from serve_app.http.problems import PROBLEM_JSON, ProblemDocument, problem_responses

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/{model}"
# What FastAPI says of input that is not valid; our answer is a problem document.
_FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")

_HEADERS: Json = {
    "X-Request-ID": {
        "description": "The id of the request: what the client sent, or ours. Absent where a proxy"
        " before the service answered.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    },
    "RateLimit": {
        "description": "By policy, the requests that are left, and the seconds until all are"
        " there again.",
        "required": True,
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "By policy, the requests that may be sent at once, and the seconds in which"
        " all come back.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "Sent when an earlier request with this Idempotency-Key did the work.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "The scheme to authenticate with.",
        "required": True,
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
}


class DocumentedAPI(FastAPI):
    """FastAPI whose OpenAPI document names every refusal."""

    def openapi(self) -> Json:
        """Return the document; made once and kept, as FastAPI does."""
        known = self.openapi_schema
        document = super().openapi()
        if document is not known:
            _complete(document, self.routes)
        return document


def _complete(document: Json, routes: Sequence[BaseRoute]) -> None:
    components = document["components"]
    problem = ProblemDocument.model_json_schema(ref_template=_SCHEMAS)
    components["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
    components["headers"] = _HEADERS
    for name in _FRAMEWORK_SCHEMAS:
        components["schemas"].pop(name, None)
    for route in iter_route_contexts(routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                _complete_operation(document["paths"][route.path_format][method.lower()], route)


def _complete_operation(operation: Json, route: RouteContext) -> None:
    answers: Json = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
    for status, answer in problem_responses(*_refusals(operation, route.dependant)).items():
        declared = answers.setdefault(str(status), answer)
        if declared is not answer and PROBLEM_JSON in declared.get("content", {}):
            declared["description"] += "\n" + answer["description"]
    for status, answer in answers.items():
        answer["headers"] = {**answer.get("headers", {}), **_headers(status, operation)}


def _refusals(operation: Json, dependant: Dependant) -> Iterator[type[errors.Problem]]:
    """Yield what a route may refuse, by what it depends on."""
    yield errors.BadInput  # also a query that the route does not know
    calls = [found.call for found in _tree(dependant)]
    if identify in calls:
        yield from (errors.Unauthorized, errors.InvalidToken, errors.RateLimited)
    if any(identify in (below.call for below in found.dependencies) for found in _tree(dependant)):
        # Something between the route and the identity, which looks at what it may do.
        yield errors.ScopeMissing
    if any(isinstance(call, PermissionCheck) for call in calls):
        yield errors.PermissionMissing
    if get_clients in calls:
        yield errors.Unavailable
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        yield errors.NotFound
    if "requestBody" in operation:
        yield from (errors.RequestTimeout, errors.TooLarge)
        if {JSON_TYPE, *FORM_TYPES} & set(operation["requestBody"]["content"]):
            yield errors.MediaTypeUnsupported


def _tree(dependant: Dependant) -> Iterator[Dependant]:
    """Yield every dependency below ``dependant``."""
    for below in dependant.dependencies:
        yield below
        yield from _tree(below)


def _headers(status: str, operation: Json) -> Json:
    names = ["X-Request-ID"]
    if status == "401":
        names.append("WWW-Authenticate")
    elif "security" in operation and status[0] == "2":
        names += ["RateLimit", "RateLimit-Policy"]
    if status in ("429", "503"):
        names.append("Retry-After")
    keyed = any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ()))
    if keyed and status[0] == "2":
        names.append("Idempotent-Replayed")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
