"""Problems in the form that OpenAI's clients read, and the routes that answer in it."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from serve_app.compat.errors import ForeignErrorsRoute
from serve_app.http.errors import (
    BadInput,
    NotEnoughCredits,
    NotFound,
    Problem,
    SpendingCapReached,
    Unauthorized,
)
from serve_app.jobs.failure import JobFailed, JobRefused

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


class OpenAIRoute(ForeignErrorsRoute):
    """A route whose errors are OpenAI's."""

    @staticmethod
    def error_response(problem: Problem) -> JSONResponse:
        return error_response(problem)


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
