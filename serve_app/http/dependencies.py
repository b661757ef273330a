"""Dependencies of routes; that of the identity is in ``serve_app.auth.identity``."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request
from pydantic import AwareDatetime

from serve_app.http.errors import MediaTypeUnsupported, NotFound
from serve_app.resources import Clients


def _clients(request: Request) -> Clients:
    clients: Clients = request.app.state.clients
    return clients


ClientsDep = Annotated[Clients, Depends(_clients)]

IdempotencyKeyDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Sent again within 24 hours with the same body, the first answer comes again.",
    ),
]
LimitDep = Annotated[int, Query(ge=1, le=100, description="How many to list.")]
AfterDep = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z]{2,4}_[0-9A-Z]{26}$",
        description="The `next` of the page before this one.",
    ),
]

CreatedAfterDep = Annotated[AwareDatetime | None, Query(description="Not created before.")]
CreatedBeforeDep = Annotated[AwareDatetime | None, Query(description="Created before.")]


def require_json(request: Request) -> None:
    """Dependency for calls with a JSON body: another media type is answered with 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise MediaTypeUnsupported


def validate_id(value: str, prefix: str) -> str:
    """Return ``value`` if it is a well-formed id with this prefix.

    Raises:
        NotFound: it is not, so that malformed text never reaches the database.
    """
    head, _, ulid = value.partition("_")
    if head != prefix or len(ulid) != 26 or not (ulid.isascii() and ulid.isalnum()):
        raise NotFound
    return value
