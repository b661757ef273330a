"""Problems in the form that fal's clients read, and the routes that answer in it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from serve_app.compat.errors import ForeignErrorsRoute
from serve_app.http.errors import BadInput, Problem


class NotReady(Problem):
    """The request is still in progress."""

    status, code, title = 400, "in_progress", "Still in progress"


class StillRunning(Problem):
    """The request takes longer than an answer may; the same request waits on."""

    status, code, title = 408, "request_timeout", "Still running"


class FalRoute(ForeignErrorsRoute):
    """A route whose errors are fal's, and whose callers send their key as fal's clients do."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_with_key(request: Request) -> Response:
            return await answer(_with_bearer(request))

        return answer_with_key

    @staticmethod
    def error_response(problem: Problem) -> JSONResponse:
        return error_response(problem)


def error_response(problem: Problem) -> JSONResponse:
    """Return the answer of ``problem``."""
    kind = error_type(problem)
    detail: str | list[dict[str, Any]] = problem.detail
    if isinstance(problem, BadInput) and problem.errors:
        detail = [
            {
                "loc": ["body", *(part for part in error["loc"] if part != "input")],
                "msg": error["msg"],
                "type": error["code"],
            }
            for error in problem.errors
        ]
    return JSONResponse(
        {"detail": detail, "error_type": kind},
        status_code=problem.status,
        headers={**problem.headers, "x-fal-error-type": kind},
    )


def error_type(problem: Problem) -> str:
    """Return what fal calls the problem, or its code; that of a job is the job's."""
    code = str(problem.members.get("job_code", problem.code))
    return "client_cancelled" if code == "canceled" else code


def _with_bearer(request: Request) -> Request:
    """Return the request with ``Authorization: Bearer ...`` in place of ``Key ...``."""
    headers = [_bearer(name, value) for name, value in request.scope["headers"]]
    return Request({**request.scope, "headers": headers}, request.receive)


def _bearer(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    scheme, _, secret = value.partition(b" ")
    if name == b"authorization" and scheme.lower() == b"key":
        return name, b"Bearer " + secret
    return name, value
