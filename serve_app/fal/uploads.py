"""Uploads for fal's clients: they ask for a link and send a file there, without a key."""

from __future__ import annotations

import time
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, cast

from fastapi import Query, Request, UploadFile
from jose import jwt
from jose.exceptions import JOSEError
from pydantic import Field
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from db.ids import new_id
from db.tables import File
from serve_app.auth.identity import FilesDep, Identity, count_request, is_still_valid
from serve_app.auth.tokens import ALGORITHM
from serve_app.fal.errors import FalRoute
from serve_app.files.upload import MAX_NAME_LENGTH, upload
from serve_app.http.body import BoundedRequest
from serve_app.http.dependencies import ClientsDep
from serve_app.http.errors import InvalidToken, NotFound
from serve_app.http.schemas import Body
from serve_app.resources import Clients
from serve_app.routing import body_kind, make_router, rate_class
from serve_app.settings import AuthSettings

router = make_router("/fal/storage", tags=["fal"], route_class=FalRoute, documented=False)

LINK_S = 3600
IN_MEMORY_BYTES = 1 << 20


class UploadBody(Body):
    """What will be uploaded. What it is, is told by its content."""

    file_name: str = Field(default="upload.bin", max_length=MAX_NAME_LENGTH)
    content_type: str | None = None


def files_url(request: Request) -> str:
    """Return under which address inputs name the files that were uploaded here."""
    return f"{request.base_url}fal/files/"


@router.post("/upload/initiate")
async def initiate(
    body: UploadBody,
    identity: FilesDep,
    clients: ClientsDep,
    request: Request,
    storage_type: str = "",
) -> dict[str, str]:
    """A link to send a file to, and the address by which inputs name it."""
    file_id = new_id("file")
    claims = {
        "sub": identity.user_id,
        "jti": file_id,
        "name": body.file_name,
        "key": identity.api_key_id,
        "sid": identity.family_id,
        "plan": identity.plan,
        "aud": _audience(clients.settings.auth),
        "exp": int(time.time()) + LINK_S,
    }
    secret = clients.settings.auth.jwt_secret.get_secret_value()
    token = jwt.encode(claims, secret, algorithm=ALGORITHM)
    return {
        "upload_url": f"{request.base_url}fal/storage/upload?token={token}",
        "file_url": f"{files_url(request)}{file_id}",
    }


@router.put("/upload")
@rate_class(None)  # by the user of the link, once it was read
@body_kind("file")
async def put(
    token: Annotated[str, Query(max_length=2000)], clients: ClientsDep, request: Request
) -> dict[str, Any]:
    """Take in the file of a link. Sent again, it changes nothing."""
    claims = _claims(clients, token)
    identity = Identity(
        claims["sub"],
        "",
        claims.get("plan", ""),  # a link may be older than the release
        frozenset(),
        api_key_id=claims["key"],
        family_id=claims["sid"],
    )
    if not await is_still_valid(clients, identity):
        raise InvalidToken
    await count_request(clients, identity, "upload")
    if isinstance(request, BoundedRequest):
        request.belongs_to(identity.user_id)
    if await _exists(clients, claims):
        return {}
    with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as content:
        async for piece in request.stream():
            await run_in_threadpool(content.write, piece)
        content.seek(0)
        file = UploadFile(cast("BinaryIO", content), filename=claims["name"], headers=Headers())
        try:
            await upload(clients, claims["sub"], file, "input", claims["jti"])
        except IntegrityError:
            if not await _exists(clients, claims):  # else it was sent twice at once
                raise
    return {}


async def _exists(clients: Clients, claims: dict[str, Any]) -> bool:
    """Whether the link was used, also for a file that was deleted since."""
    async with clients.sessions() as session:
        return await session.get(File, claims["jti"]) is not None


def _claims(clients: Clients, token: str) -> dict[str, Any]:
    """Raises NotFound: the link is not ours, or too old."""
    settings = clients.settings.auth
    try:
        return jwt.decode(
            token,
            settings.jwt_secret.get_secret_value(),
            algorithms=[ALGORITHM],
            audience=_audience(settings),
        )
    except JOSEError as error:
        raise NotFound("This link is not valid, or no longer.") from error


def _audience(settings: AuthSettings) -> str:
    """An access token is no link, and a link no access token."""
    return f"{settings.jwt_audience}/upload"
