"""Files: upload, list, read, delete."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Form, UploadFile
from pydantic import Field

from db.accounts import files
from db.tables import File
from serve_app.auth.identity import FilesDep
from serve_app.files.upload import upload
from serve_app.http.dependencies import AfterDep, ClientsDep, LimitDep, validate_id
from serve_app.http.errors import NotFound, StorageQuotaExceeded
from serve_app.http.pagination import Page, paginate
from serve_app.http.problems import problem_responses
from serve_app.http.schemas import View
from serve_app.resources import Clients
from serve_app.routing import body_kind, make_router, rate_class

router = make_router("/v1/files", tags=["files"])

Purpose = Literal["input", "reference", "output"]


class FileView(View):
    """A stored file; ``url`` is signed and works with plain GET until ``expires_at``."""

    id: str
    object: Literal["file"] = "file"
    purpose: Purpose
    name: str
    content_type: str
    bytes: int
    sha256: str
    job_id: str | None = Field(description="The job that made it, or brought it along.")
    url: str
    expires_at: datetime
    created_at: datetime


@router.post("", status_code=201, responses=problem_responses(StorageQuotaExceeded))
@body_kind("media")
@rate_class("upload")
async def create(
    file: UploadFile,
    identity: FilesDep,
    clients: ClientsDep,
    purpose: Annotated[Literal["input", "reference"], Form()] = "input",
) -> FileView:
    """Upload a picture or a sound, to be named in inputs by `{"file_id": ...}`.

    What it is, is told by its content, not by its name.
    """
    return file_view(clients, await upload(clients, identity.user_id, file, purpose))


@router.get("")
async def index(
    identity: FilesDep,
    clients: ClientsDep,
    purpose: Purpose | None = None,
    limit: LimitDep = 20,
    after: AfterDep = None,
) -> Page[FileView]:
    """Your files, newest first: uploads, and what your jobs made."""
    async with clients.sessions() as session:
        rows = await files.page(session, identity.user_id, purpose, after, limit + 1)
    page_rows, has_more, following = paginate(rows, limit)
    return Page(
        data=[file_view(clients, row) for row in page_rows], has_more=has_more, next=following
    )


@router.get("/{file_id}")
async def get(file_id: str, identity: FilesDep, clients: ClientsDep) -> FileView:
    """A file, with a fresh link."""
    async with clients.sessions() as session:
        row = await files.get_owned(session, validate_id(file_id, "file"), identity.user_id)
    if row is None:
        raise NotFound
    return file_view(clients, row)


@router.delete("/{file_id}", status_code=204)
async def delete(file_id: str, identity: FilesDep, clients: ClientsDep) -> None:
    """Erase a file. A waiting job that names it will fail, and cost nothing."""
    async with clients.sessions() as session:
        row = await files.get_owned(session, validate_id(file_id, "file"), identity.user_id)
    if row is None:
        raise NotFound
    # The object first: if marking the row fails, deleting again completes it.
    await clients.objects.delete([row.object_key])
    async with clients.sessions.begin() as session:
        await files.mark_deleted(session, file_id, identity.user_id)


def file_view(clients: Clients, row: File) -> FileView:
    """Describe a file, with a fresh link."""
    lasts = timedelta(seconds=clients.settings.limits.link_seconds)
    url = clients.objects.presign_get(row.object_key, lasts, content_type=row.content_type)
    known = {name: getattr(row, name, None) for name in FileView.model_fields if name != "object"}
    known |= {"url": url, "expires_at": datetime.now(UTC) + lasts}
    return FileView.model_validate(known)
