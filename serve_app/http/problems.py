"""Turn every exception into an ``application/problem+json`` answer that shows no internals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import redis.exceptions
import sqlalchemy.exc
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from db.errors import StoreUnavailable
from serve_app.http.equivalents import SENT_PATH
from serve_app.http.errors import BadInput, FieldError, Problem, TooLarge, Unavailable
from serve_app.http.schemas import MAX_KEY_LENGTH

log = structlog.get_logger()

# Raised when a store is away, too busy, or disconnects in the middle.
STORE_FAILURES: tuple[type[Exception], ...] = (
    StoreUnavailable,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    TimeoutError,
)


Model = TypeVar("Model", bound=BaseModel)

PROBLEM_JSON = "application/problem+json"
PROBLEM_SCHEMA = "#/components/schemas/Problem"
# Of an answer that creates something: for a route's ``responses``.
CREATED_AT = {
    "Location": {
        "description": "The path of what was created.",
        "required": True,
        "schema": {"type": "string"},
    }
}


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document; some problems have further members."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(description="A URN that ends in `code`.")
    title: str
    status: int
    detail: str = Field(description="What is wrong, in words.")
    code: str = Field(description="Stable: what a program goes by.")
    instance: str = Field(
        default="", description="The path of the request; absent where a proxy answered."
    )
    errors: list[FieldError] = Field(
        default=[], description="Every invalid field, of input that is not valid."
    )


def problem_response(problem: Problem, path: str) -> JSONResponse:
    """Return the answer of ``problem`` to a request to ``path``."""
    document = ProblemDocument(
        type=f"urn:atelier:problem:{problem.code}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=path,
        code=problem.code,
        **problem.members,
    )
    if problem.errors or isinstance(problem, BadInput):
        document.errors = problem.errors
    return JSONResponse(
        document.model_dump(exclude_unset=True),
        status_code=problem.status,
        headers=problem.headers,
        media_type=PROBLEM_JSON,
    )


def problem_responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of ``problems``, by status: a route's ``responses``."""
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        line = f"- `{problem.code}`: {problem.when}"
        if problem.status in responses:
            responses[problem.status]["description"] += f"\n{line}"
        else:
            responses[problem.status] = {
                "description": line,
                "content": {PROBLEM_JSON: {"schema": {"$ref": PROBLEM_SCHEMA}}},
            }
    return responses


def _cut(part: str | int) -> str | int:
    """A part of a path is a key that the client chose, of any length."""
    return part[:MAX_KEY_LENGTH] if isinstance(part, str) else part


def field_errors(
    errors: Iterable[Mapping[str, Any]], prefix: tuple[str, ...] = ()
) -> list[FieldError]:
    """Convert pydantic's errors; never repeats values that the client sent.

    pydantic also calls a list too short when its entries are there but not valid: that is left out.
    """
    found = list(errors)[:50]
    inside = {error["loc"][:end] for error in found for end in range(len(error["loc"]))}
    return [
        {"loc": [*prefix, *map(_cut, error["loc"])], "msg": error["msg"], "code": error["type"]}
        for error in found
        if error["type"] != "too_short" or error["loc"] not in inside
    ]


def validated(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """Read ``fields`` as ``model``.

    Raises:
        BadInput: they are not valid; with every invalid one.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False, include_input=False))
        raise BadInput(_summarize(errors), errors=errors) from error


def add_problem_handlers(api: FastAPI) -> None:
    """Add the error handlers that all routes share."""
    api.add_exception_handler(Problem, _handle_problem)
    api.add_exception_handler(RequestValidationError, _handle_invalid_input)
    api.add_exception_handler(HTTPException, _handle_http_exception)
    api.add_exception_handler(sqlalchemy.exc.DataError, _handle_database_rejection)
    for failure in STORE_FAILURES:
        api.add_exception_handler(failure, _handle_store_unavailable)


def _sent_path(request: Request) -> str:
    return str(request.scope.get(SENT_PATH, request.url.path))


async def _handle_problem(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Problem)
    return problem_response(exc, _sent_path(request))


async def _handle_invalid_input(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    return problem_response(invalid_input(exc), _sent_path(request))


def invalid_input(exc: RequestValidationError) -> BadInput:
    """Convert what FastAPI found wrong with a request."""
    if any(error["type"] == "json_invalid" for error in exc.errors()):
        return _invalid_json_problem(exc)
    errors = field_errors(exc.errors())
    for error in errors:
        if error["loc"][:1] == ["body"]:
            del error["loc"][0]
    return BadInput(_summarize(errors), errors=errors)


def _invalid_json_problem(exc: RequestValidationError) -> BadInput:
    (error,) = exc.errors()
    detail = f"The body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    return BadInput(detail, errors=[{"loc": [], "msg": detail, "code": "json_invalid"}])


def _summarize(errors: list[FieldError]) -> str | None:
    if not errors:
        return None
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


async def _handle_http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    problem = problem_from_http(exc)
    if problem.status == 405:
        allow = {"Allow": ", ".join(sorted(_allowed_methods(request)))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        problem.headers |= allow
    return problem_response(problem, _sent_path(request))


def _allowed_methods(request: Request) -> set[str]:
    """Return the methods of every route at the request's path; Starlette names the first's only.

    ``/files/uploads`` also matches ``/files/{key}``, but is no key: a path of its own has only its
    own methods, as in the OpenAPI document.
    """
    routes = [
        route
        for route in iter_route_contexts(request.app.routes)
        if route.matches(request.scope)[0] is not Match.NONE
    ]
    literal = [route for route in routes if "{" not in (route.path or "")]
    methods = {method for route in literal or routes for method in route.methods or ()}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def problem_from_http(exc: HTTPException) -> Problem:
    """Convert FastAPI's own errors (no such route or method, unreadable body)."""
    if exc.status_code == 400:
        # The body is no UTF-8: answered like malformed JSON.
        unreadable: FieldError = {"loc": [], "msg": str(exc.detail), "code": "unreadable"}
        return BadInput(str(exc.detail), errors=[unreadable])
    if exc.status_code == TooLarge.status:
        return TooLarge(str(exc.detail), headers=exc.headers)
    try:
        phrase = HTTPStatus(exc.status_code).phrase
    except ValueError:
        phrase = "Error"
    by_framework = type(
        "FrameworkProblem",
        (Problem,),
        {
            "status": exc.status_code,
            "code": phrase.lower().replace(" ", "_").replace("-", "_"),
            "title": phrase,
        },
    )
    problem: Problem = by_framework(str(exc.detail), headers=exc.headers)
    return problem


async def _handle_database_rejection(request: Request, exc: Exception) -> Response:
    # A text that Postgres cannot hold. Known ways in are checked before; this catches the rest.
    log.warning("value_refused_by_database", error=type(exc).__name__)
    return problem_response(BadInput(), _sent_path(request))


async def _handle_store_unavailable(request: Request, exc: Exception) -> Response:
    log.warning("store_unavailable", error=type(exc).__name__, reason=str(exc)[:200])
    return problem_response(Unavailable(), _sent_path(request))
