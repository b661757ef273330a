"""Uploads straight to the object store: announce, look, complete, abort."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from fastapi import Depends, Response
from pydantic import Field

from serve_app.auth.identity import FilesDep
from serve_app.files import direct_uploads
from serve_app.files.direct_uploads import LINKS_LAST, PART_BYTES, UploadState
from serve_app.files.routes import FileView, file_view
from serve_app.http.dependencies import ClientsDep, require_json, validate_id
from serve_app.http.errors import (
    NotFound,
    StorageQuotaExceeded,
    TooLarge,
    TooManyUploads,
    UploadIncomplete,
)
from serve_app.http.problems import CREATED_AT, problem_responses
from serve_app.http.schemas import Body, View, Whole
from serve_app.resources import Clients
from serve_app.routing import make_router, rate_class

router = make_router("/v1/files/uploads", tags=["files"])


class UploadBody(Body):
    """What will be uploaded."""

    name: str = Field(min_length=1, max_length=255, examples=["photo.jpg"])
    bytes: Whole = Field(gt=0, le=2**53, description="Its size.", examples=[12_345_678])
    purpose: Literal["input", "reference"] = "input"


class PartView(View):
    """A part: `POST` a form to ``url``, its ``fields`` first and the bytes last, as ``file``."""

    number: int
    bytes: int
    arrived: bool
    url: str
    fields: dict[str, str]


class UploadView(View):
    """An upload that goes straight to the object store; it is forgotten after a day."""

    id: str
    object: Literal["upload"] = "upload"
    name: str
    bytes: int
    purpose: str
    part_bytes: int = Field(description="The size of every part but the last.")
    parts: list[PartView]
    links_expire_at: datetime


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(require_json)],
    responses={
        201: {"headers": CREATED_AT},
        **problem_responses(TooLarge, TooManyUploads, StorageQuotaExceeded),
    },
)
@rate_class("upload")
async def create(
    body: UploadBody, identity: FilesDep, clients: ClientsDep, response: Response
) -> UploadView:
    """Begin an upload: send each part to its link as a form, in any order, then complete it."""
    state = await direct_uploads.announce(
        clients, identity.user_id, body.name, body.bytes, body.purpose
    )
    response.headers["Location"] = f"/v1/files/uploads/{state.upload.id}"
    return _view(clients, state)


@router.get("/{upload_id}")
async def get(upload_id: str, identity: FilesDep, clients: ClientsDep) -> UploadView:
    """Which parts have arrived, and fresh links: what goes on with an upload begins here."""
    named = validate_id(upload_id, "upl")
    return _view(clients, await direct_uploads.read_state(clients, identity.user_id, named))


@router.post(
    "/{upload_id}/complete",
    status_code=201,
    responses={
        201: {"headers": CREATED_AT},
        **problem_responses(NotFound, UploadIncomplete, StorageQuotaExceeded),
    },
)
@rate_class("upload")
async def complete(
    upload_id: str, identity: FilesDep, clients: ClientsDep, response: Response
) -> FileView:
    """Make a file of the parts. What it is, is told by its content, not by its name."""
    named = validate_id(upload_id, "upl")
    row = await direct_uploads.complete(clients, identity.user_id, named)
    response.headers["Location"] = f"/v1/files/{row.id}"
    return file_view(clients, row)


@router.delete("/{upload_id}", status_code=204)
async def abort(upload_id: str, identity: FilesDep, clients: ClientsDep) -> None:
    """Forget an upload."""
    await direct_uploads.abort(clients, identity.user_id, validate_id(upload_id, "upl"))


def _view(clients: Clients, state: UploadState) -> UploadView:
    upload = state.upload
    parts = []
    for part in upload.parts:
        size = upload.size(part)
        url, fields = clients.objects.presign_post(upload.key(part), size, LINKS_LAST)
        arrived = state.has(part)
        parts.append(PartView(number=part, bytes=size, arrived=arrived, url=url, fields=fields))
    return UploadView(
        id=upload.id,
        name=upload.name,
        bytes=upload.bytes,
        purpose=upload.purpose,
        part_bytes=PART_BYTES,
        parts=parts,
        links_expire_at=datetime.now(UTC) + LINKS_LAST,
    )
