"""What one request gathers on its way, for the log line, the metrics and the answer's headers."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection

_KEY = "atelier.request"


@dataclass
class RequestContext:
    """``answer_headers`` are added to the answer, whatever it becomes."""

    request_id: str
    user_id: str | None = None
    response_headers: dict[str, str] = field(default_factory=dict)


def put_context(scope: MutableMapping[str, Any], context: RequestContext) -> None:
    scope[_KEY] = context


def request_context(request: HTTPConnection) -> RequestContext:
    found: RequestContext = request.scope[_KEY]
    return found
