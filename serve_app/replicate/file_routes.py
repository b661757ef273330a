"""``/replicate/v1/files``: what Replicate's clients upload before they name it in an input."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request, UploadFile
from pydantic import Field

from db.accounts import files
from db.tables import File
from serve_app.auth.identity import FilesDep
from serve_app.files.routes import delete as delete_file
from serve_app.files.upload import upload
from serve_app.http.dependencies import ClientsDep, validate_id
from serve_app.http.errors import NotFound
from serve_app.http.schemas import View
from serve_app.routing import body_kind, make_router, rate_class

router = make_router("/replicate/v1/files", tags=["replicate"], documented=False)

PAGE = 100


class FileView(View):
    """An uploaded file, as Replicate describes one."""

    id: str
    name: str
    content_type: str
    size: int
    etag: str
    checksums: dict[str, str]
    metadata: dict[str, Any] = Field(default={})
    created_at: datetime
    expires_at: datetime | None = None
    urls: dict[str, str]


@router.post("", status_code=201)
@body_kind("media")
@rate_class("upload")
async def create(
    content: UploadFile, identity: FilesDep, clients: ClientsDep, request: Request
) -> FileView:
    """Upload a picture or a sound."""
    return _view(await upload(clients, identity.user_id, content, "input"), request)


@router.get("")
async def index(identity: FilesDep, clients: ClientsDep, request: Request) -> dict[str, Any]:
    """Your newest files."""
    async with clients.sessions() as session:
        rows = await files.page(session, identity.user_id, None, None, PAGE)
    results = [_view(row, request) for row in rows]
    return {"previous": None, "next": None, "results": results}


@router.get("/{file_id}")
async def get(file_id: str, identity: FilesDep, clients: ClientsDep, request: Request) -> FileView:
    """A file."""
    async with clients.sessions() as session:
        row = await files.get_owned(session, validate_id(file_id, "file"), identity.user_id)
    if row is None:
        raise NotFound
    return _view(row, request)


@router.delete("/{file_id}", status_code=204)
async def delete(file_id: str, identity: FilesDep, clients: ClientsDep) -> None:
    """Erase a file."""
    await delete_file(file_id, identity, clients)


def _view(row: File, request: Request) -> FileView:
    return FileView(
        id=row.id,
        name=row.name,
        content_type=row.content_type,
        size=row.bytes,
        etag=row.sha256[:32],
        checksums={"sha256": row.sha256},
        created_at=row.created_at,
        urls={"get": f"{request.base_url}replicate/v1/files/{row.id}"},
    )
