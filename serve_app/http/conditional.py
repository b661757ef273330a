"""``ETag`` and ``If-None-Match`` (RFC 9110): whoever has an answer already gets a bare 304."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request, Response

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

# What the OpenAPI document says of such a call: its ``responses`` and ``openapi_extra``.
CONDITIONAL_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {
                "description": "Send it as `If-None-Match` with the next request.",
                "schema": {"type": "string"},
            }
        }
    },
    304: {"description": "The answer is the one that `If-None-Match` names."},
}
CONDITIONAL_REQUEST: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "The `ETag` of an earlier answer.",
            "schema": {"type": "string"},
        }
    ]
}
# What describes a body, which a 304 does not have.
_OF_BODY = (b"content-length", b"content-type")


def conditional(endpoint: Endpoint) -> Endpoint:
    """Decorator: answers of this call are sent by ``answer_conditionally``."""
    endpoint.conditional = True  # type: ignore[attr-defined]
    return endpoint


def answer_conditionally(request: Request, response: Response) -> Response:
    """Add an ETag, the hash of the body; return a 304 if the client has that body."""
    tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    response.headers["ETag"] = tag
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    if not {tag, "*"} & {one.strip().removeprefix("W/") for one in known}:
        return response
    bare = Response(status_code=304)
    bare.raw_headers = [header for header in response.raw_headers if header[0] not in _OF_BODY]
    return bare
