"""Routes that answer errors in the form of another service, for that service's clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from db.errors import ObjectMissing
from serve_app.http.errors import BadInput, Problem, Unavailable
from serve_app.http.problems import STORE_FAILURES, invalid_input, problem_from_http
from serve_app.routing import Route

log = structlog.get_logger()

UNAVAILABLE: tuple[type[Exception], ...] = (ObjectMissing, *STORE_FAILURES)


class ForeignErrorsRoute(Route, ABC):
    """A route whose errors have the form that ``error_response`` gives them."""

    @staticmethod
    @abstractmethod
    def error_response(problem: Problem) -> Response:
        """Return the answer of ``problem``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_in_their_form(request: Request) -> Response:
            try:
                return await answer(request)
            except Problem as problem:
                return self.error_response(problem)
            except RequestValidationError as error:
                return self.error_response(invalid_input(error))
            except HTTPException as error:
                return self.error_response(problem_from_http(error))
            except DataError:
                return self.error_response(BadInput())
            except UNAVAILABLE as error:
                return self.error_response(unavailable(error))

        return answer_in_their_form


def unavailable(error: Exception) -> Unavailable:
    """Log that a store failed, and return what the client hears."""
    log.warning("store_unavailable", error=type(error).__name__, reason=str(error)[:200])
    return Unavailable()
