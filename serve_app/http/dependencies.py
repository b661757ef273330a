"""Dependencies of routes; that of the identity is in ``serve_app.auth.identity``."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from serve_app.http.errors import MediaTypeUnsupported, NotFound
from serve_app.http.schemas import Instant
from serve_app.resources import Clients


async def get_clients(request: Request) -> Clients:
    """Dependency: the open clients of this application."""
    clients: Clients = request.app.state.clients
    return clients


ClientsDep = Annotated[Clients, Depends(get_clients)]


def wants_fresh(cache_control: str | None) -> bool:
    """Return whether the value of ``Cache-Control`` refuses a result that is there already."""
    directives = (part.strip().lower() for part in (cache_control or "").split(","))
    return any(directive in ("no-cache", "no-store") for directive in directives)


async def _fresh(
    cache_control: Annotated[
        str | None,
        Header(
            alias="Cache-Control",
            max_length=200,
            description="`no-cache`: make it, though the same input and seed made it before.",
        ),
    ] = None,
) -> bool:
    return wants_fresh(cache_control)


# Whether a result that is there already is not wanted.
FreshDep = Annotated[bool, Depends(_fresh)]

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

CreatedAfterDep = Annotated[Instant | None, Query(description="Not created before.")]
CreatedBeforeDep = Annotated[Instant | None, Query(description="Created before.")]
JobIdQueryDep = Annotated[
    str | None, Query(pattern=r"^job_[0-9A-Z]{26}$", description="Only what this job moved.")
]


JSON_TYPE = "application/json"
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(request: Request) -> bool:
    """Return whether the body is announced as JSON."""
    kind, _, name = _media_type(request).partition("/")
    return kind == "application" and (name == "json" or name.endswith("+json"))


async def require_json(request: Request) -> None:
    """Dependency for calls with a JSON body: another media type is answered with 415."""
    check_json(request)


def check_json(request: Request) -> None:
    """Refuse with 415 what is announced as another media type than JSON.

    Raises:
        MediaTypeUnsupported: the body is announced as something else.
    """
    if is_json(request):
        return
    if _media_type(request) in FORM_TYPES:
        # What curl's -d and many libraries announce when nothing is said.
        raise MediaTypeUnsupported(
            "The body is announced as a form, and this call takes JSON: send an object such as"
            ' {"name": "value"} with the header Content-Type: application/json.'
        )
    raise MediaTypeUnsupported


def require_form(request: Request) -> None:
    """Refuse with 415 what is no form, on a call that takes one (OAuth 2.0 says that log-ins do).

    Raises:
        MediaTypeUnsupported: the body is announced as something else.
    """
    if _media_type(request) not in FORM_TYPES:
        raise MediaTypeUnsupported(
            "This call takes a form: send username=...&password=... with the header"
            " Content-Type: application/x-www-form-urlencoded."
        )


def require_multipart(request: Request) -> None:
    """Refuse with 415 what is no form with a file: a parser of other forms would take any length.

    Raises:
        MediaTypeUnsupported: the body is announced as something else.
    """
    if _media_type(request) != "multipart/form-data":
        raise MediaTypeUnsupported("This call takes multipart/form-data, with a part named file.")


def validate_id(value: str, prefix: str) -> str:
    """Return ``value`` if it is a well-formed id with this prefix.

    Raises:
        NotFound: it is not, so that malformed text never reaches the database.
    """
    head, _, ulid = value.partition("_")
    if head != prefix or len(ulid) != 26 or not (ulid.isascii() and ulid.isalnum()):
        raise NotFound
    return value
