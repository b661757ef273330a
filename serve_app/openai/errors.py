"""Problems in the form that OpenAI's clients read, and the routes that answer in it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from db.errors import ObjectMissing
from serve_app.http.errors import (
    BadInput,
    NotEnoughCredits,
    NotFound,
    Problem,
    SpendingCapReached,
    Unauthorized,
    Unavailable,
)
from serve_app.http.problems import STORE_FAILURES, invalid_input, problem_from_http
from serve_app.routing import Route

log = structlog.get_logger()

UNAVAILABLE: tuple[type[Exception], ...] = (ObjectMissing, *STORE_FAILURES)
# Their clients repeat 408, 409, 429 and 5xx unless this says that it cannot help.
NO_RETRY = {"x-should-retry": "false"}


# What their clients call the fields of our inputs.
PARAMS = {
    "init_image": "image",
    "story": "prompt",
    "topic": "prompt",
    "width": "size",
    "height": "size",
}


class ModelNotFound(NotFound):
    """There is no such model."""

    code, title = "model_not_found", "Model not found"


class NotReady(Problem):
    """The pictures are not ready; the same request waits on."""

    status, code, title = 408, "not_ready", "Not ready"


class JobFailed(Problem):
    """The job failed."""

    status, code, title = 500, "server_error", "The job failed"


class JobRefused(Problem):
    """The job failed for what it was asked for."""

    status, code, title = 400, "job_failed", "The job failed"


class OpenAIRoute(Route):
    """A route whose errors are OpenAI's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_in_their_form(request: Request) -> Response:
            try:
                return await answer(request)
            except Problem as problem:
                return error_response(problem)
            except RequestValidationError as error:
                return error_response(invalid_input(error))
            except HTTPException as error:
                return error_response(problem_from_http(error))
            except DataError:
                return error_response(BadInput())
            except UNAVAILABLE as error:
                return error_response(unavailable(error))

        return answer_in_their_form


def unavailable(error: Exception) -> Unavailable:
    """Log that a store failed, and return what the client hears."""
    log.warning("store_unavailable", error=type(error).__name__, reason=str(error)[:200])
    return Unavailable()


def error_response(problem: Problem) -> JSONResponse:
    """Return the answer of ``problem``."""
    status, error = error_object(problem)
    headers = dict(problem.headers)
    if isinstance(problem, (NotEnoughCredits, SpendingCapReached)) or status == 409:
        headers |= NO_RETRY
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def error_object(problem: Problem) -> tuple[int, dict[str, Any]]:
    """Return the status and the ``error`` of ``problem``: message, type, param and code."""
    kind, code, param, status = "invalid_request_error", problem.code, None, problem.status
    message = problem.detail
    if isinstance(problem, (NotEnoughCredits, SpendingCapReached)):
        kind, code, status = "insufficient_quota", "insufficient_quota", 429
    elif isinstance(problem, BadInput):
        status, code = 400, "invalid_value"
        if problem.errors:
            first = problem.errors[0]
            named = ".".join(str(part) for part in first["loc"] if part != "input")
            param = PARAMS.get(named, named) or None
            if first["code"] in ("extra_forbidden", "unknown_parameter"):
                message, code = f"Unknown parameter: '{param}'.", "unknown_parameter"
            elif first["code"] == "missing":
                message = f"Missing required parameter: '{param}'."
                code = "missing_required_parameter"
    elif isinstance(problem, (JobFailed, JobRefused)):
        code = problem.members["job_code"]
    elif isinstance(problem, Unauthorized):
        code = "invalid_api_key"
    elif status == 429:
        kind, code = "requests", "rate_limit_exceeded"
    if status >= 500:
        kind = "server_error"
    return status, {"message": message, "type": kind, "param": param, "code": code}


def failure(error: dict[str, Any] | None, status: str) -> Problem:
    """Return the problem of a job that ended as ``status`` with ``error``, and without a result."""
    if status == "canceled":
        return JobRefused("The job was canceled.", job_code="canceled")
    if error is None:
        return JobFailed("The job failed.", job_code="server_error")
    of = JobFailed if error["retryable"] else JobRefused
    return of(error["detail"], job_code=error["code"])
