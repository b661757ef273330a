"""Values that a request collects for its log line, its metrics and the headers of its answer."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection

_KEY = "atelier.request"


@dataclass
class RequestContext:
    """``answer_headers`` are added to every answer, errors included."""

    request_id: str
    user_id: str | None = None
    response_headers: dict[str, str] = field(default_factory=dict)


def put_context(scope: MutableMapping[str, Any], context: RequestContext) -> None:
    scope[_KEY] = context


def request_context(request: HTTPConnection) -> RequestContext:
    context: RequestContext = request.scope[_KEY]
    return context
