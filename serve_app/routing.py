"""The route class of every call: what a request's headers decide comes before its body is read.

FastAPI reads and parses a body first and asks the dependencies for an identity afterwards: a
stranger's 60 MB would cost as much as a customer's. Written after FastAPI's "Custom Request and
APIRoute class" (https://fastapi.tiangolo.com/how-to/custom-request-and-route/).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import aclosing, suppress
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from serve_app.auth.identity import authenticate, identify
from serve_app.auth.rate_limits import count_address
from serve_app.http.body import BodyLimits, BoundedRequest
from serve_app.http.conditional import answer_conditionally
from serve_app.http.dependencies import (
    check_json,
    is_json,
    require_form,
    require_json,
    require_multipart,
)
from serve_app.http.equivalents import IS_HEAD
from serve_app.http.errors import BadInput, FieldError, RateLimited, TooManyStreams
from serve_app.http.rates import RateClass
from serve_app.http.schemas import MAX_KEY_LENGTH
from serve_app.resources import Clients
from serve_app.settings import LimitSettings

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
BodyKind = Literal["public", "private", "media", "file"]

# What a stranger may send: an address, a password, a token.
PUBLIC_BODY_BYTES = 16 << 10
# A form has a file and a few words.
MAX_FORM_FILES = 1
MAX_FORM_FIELDS = 10
SAFE_METHODS = frozenset({"GET", "HEAD"})
# Calls with these tags may end a key or a log-in, or change a role or a plan. Whoever has their
# answer meets the change in this process, though Postgres may not have told of it yet.
CHANGES_IDENTITIES = frozenset({"accounts", "admin"})


def body_kind(kind: BodyKind) -> Callable[[Endpoint], Endpoint]:
    """Decorator: give a call's body other limits than those that follow from who may call it."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.body_kind = kind  # type: ignore[attr-defined]
        return endpoint

    return mark


def rate_class(kind: RateClass | None) -> Callable[[Endpoint], Endpoint]:
    """Decorator: count a call's requests as of another class than the one that follows from its
    method and who may call it; None: not at all."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.rate_class = kind  # type: ignore[attr-defined]
        return endpoint

    return mark


def form_parts(files: int, fields: int) -> Callable[[Endpoint], Endpoint]:
    """Decorator: let a call's form have more than one file and a few fields."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.form_parts = (files, fields)  # type: ignore[attr-defined]
        return endpoint

    return mark


def query_names(prefix: str) -> Callable[[Endpoint], Endpoint]:
    """Decorator: let a call's query have any names that begin with ``prefix``, beside its own."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.query_names = prefix  # type: ignore[attr-defined]
        return endpoint

    return mark


def in_turn(endpoint: Endpoint) -> Endpoint:
    """Decorator: requests of this call are let in a few at a time.

    Event streams come in crowds, when a page with many jobs is opened or a proxy starts anew. The
    crowd waits; what else is asked meanwhile does not.
    """
    endpoint.in_turn = True  # type: ignore[attr-defined]
    return endpoint


class Route(APIRoute):
    """Checks the query's names, then who asks, then the body's size, and only then reads the body.

    A request that breaks a rule is answered while its body is still on the way.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        dependants = list(_flatten(self.dependant))
        parameters = {field.alias for each in dependants for field in each.query_params}
        prefix: str | None = getattr(self.endpoint, "query_names", None)
        is_private = any(each.call is identify for each in dependants)
        usual: BodyKind = "private" if is_private else "public"
        kind: BodyKind = getattr(self.endpoint, "body_kind", usual)
        counted_as: RateClass | None = getattr(
            self.endpoint, "rate_class", _usual_class(self.methods or (), is_private=is_private)
        )
        has_body = self.body_field is not None
        body_info = self.body_field.field_info if self.body_field is not None else None
        has_form = isinstance(body_info, params.Form)
        has_file = isinstance(body_info, params.File)
        wants_json = any(each.call is require_json for each in dependants)
        files, fields = getattr(self.endpoint, "form_parts", (MAX_FORM_FILES, MAX_FORM_FIELDS))
        has_turns = getattr(self.endpoint, "in_turn", False)
        is_conditional = getattr(self.endpoint, "conditional", False)
        may_change_identities = (
            not CHANGES_IDENTITIES.isdisjoint(self.tags)
            and not set(self.methods or ()) <= SAFE_METHODS
        )

        async def answer(request: Request, clients: Clients) -> Response:
            user_id = ""
            if is_private:
                user_id = (await authenticate(request, clients, counted_as or "read")).user_id
            elif counted_as is not None:
                await count_address(request, clients, counted_as)
            if wants_json or (has_body and not has_form and _has_body(request)):
                check_json(request)
            if has_file:
                require_multipart(request)
            elif has_form:
                require_form(request)
            bounded = BoundedRequest(
                request.scope,
                request.receive,
                _limits(clients.settings.limits, kind),
                clients.large_bodies,
                user_id,
                is_form=has_file,
            )
            async with aclosing(bounded):
                if has_form:
                    await bounded.form(max_files=files, max_fields=fields)
                elif has_body:
                    await _read_json(bounded)
                try:
                    return await handle(bounded)
                finally:
                    if may_change_identities:  # before the answer, also where it is a refusal
                        clients.identities.clear()

        async def answer_in_bounds(request: Request) -> Response:
            clients: Clients = request.app.state.clients
            _check_query(request, parameters, prefix)
            try:
                if has_turns:
                    response = await _answer_in_turn(answer, request, clients)
                else:
                    response = await answer(request, clients)
            except RateLimited:
                if not is_private:
                    # Who guesses or registers without a pause is held up by each refusal.
                    await asyncio.sleep(clients.settings.limits.refusal_delay_s)
                raise
            if is_conditional and response.status_code == 200:
                return answer_conditionally(request, response)
            is_head = request.scope.get(IS_HEAD, False)
            return _without_stream(response) if is_head else response

        return answer_in_bounds


def _usual_class(methods: Collection[str], *, is_private: bool) -> RateClass:
    if not is_private:
        return "public"
    return "read" if set(methods) <= SAFE_METHODS else "write"


def make_router(
    prefix: str = "", *, tags: list[str], route_class: type[Route] = Route, documented: bool = True
) -> APIRouter:
    """Make a router whose calls are of class :class:`Route`, or of one derived from it."""
    return APIRouter(
        prefix=prefix, tags=list(tags), route_class=route_class, include_in_schema=documented
    )


def _without_stream(response: Response) -> Response:
    """Keep status and headers: no stream is opened, and no table is written, for HEAD."""
    if not isinstance(response, StreamingResponse):
        return response
    bare = Response(status_code=response.status_code)
    bare.raw_headers = response.raw_headers
    return bare


async def _answer_in_turn(
    answer: Callable[[Request, Clients], Awaitable[Response]], request: Request, clients: Clients
) -> Response:
    headers = request.headers
    credentials = f"{headers.get('authorization')}\n{headers.get('x-api-key')}"
    async with clients.turns:
        clients.open_streams.check_recent(credentials)
        try:
            return await answer(request, clients)
        except TooManyStreams:
            clients.open_streams.remember_refusal(credentials)
            raise


async def _read_json(request: BoundedRequest) -> None:
    """Read and parse the body here: FastAPI turns errors of reading into a 400 of its own."""
    request.check_announced_size()
    if await request.body() and is_json(request):
        with suppress(ValueError):  # not JSON: FastAPI meets it again, and answers
            await request.json()


def _has_body(request: Request) -> bool:
    """Whether a request to a call whose body may be left out brings one."""
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def _limits(limits: LimitSettings, kind: BodyKind) -> BodyLimits:
    match kind:
        case "public":
            return BodyLimits(PUBLIC_BODY_BYTES, PUBLIC_BODY_BYTES)
        case "private":
            return BodyLimits(limits.max_body_bytes, limits.max_body_bytes)
        case "media":
            inline = min(limits.max_inline_bytes, limits.max_upload_bytes)
            return BodyLimits(limits.max_upload_bytes, max(limits.max_body_bytes, inline))
        case "file":
            return BodyLimits(limits.max_upload_bytes, limits.max_upload_bytes)


def _flatten(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for child in dependant.dependencies:
        yield from _flatten(child)


def _check_query(request: Request, parameters: set[str], prefix: str | None) -> None:
    """Refuse a parameter that the call does not have, and one that is given twice.

    A misspelled filter that is ignored lists everything; of two values nobody knows which counts.
    """
    errors: list[FieldError] = []
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        where: list[str | int] = ["query", name[:MAX_KEY_LENGTH]]
        if name not in parameters and not (prefix and name.startswith(prefix)):
            words = f"no such parameter; there is {', '.join(sorted(parameters)) or 'none'}"
            errors.append({"loc": where, "msg": words, "code": "unknown_parameter"})
        elif name in seen:
            errors.append({"loc": where, "msg": "given twice", "code": "repeated_parameter"})
        seen.add(name)
    if errors:
        first = errors[0]
        raise BadInput(f"query.{first['loc'][1]}: {first['msg']}", errors=errors[:50])
