"""Uploads straight to the object store: large files in parts, which can be gone on with."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from atelier_client.calls import Answer, Call, Exchange, Flow, ask, tell
from atelier_client.files import File
from atelier_client.resources import D, Operation, Resource


class Part(Answer):
    """A part of an upload, sent to ``url`` as a form: its ``fields``, and its bytes last."""

    number: int
    bytes: int
    arrived: bool
    url: str
    fields: dict[str, str]


class Upload(Answer):
    """An upload that is not finished; it is forgotten after a day."""

    id: str
    object: Literal["upload"] = "upload"
    name: str
    bytes: int
    purpose: str
    part_bytes: int = Field(description="The size of every part but the last.")
    parts: list[Part]
    links_expire_at: datetime


def create_upload(
    name: str, bytes: int, *, purpose: Literal["input", "reference"] = "input"
) -> Flow[Upload]:
    """Begin the upload of so many bytes."""
    body = {"name": name, "bytes": bytes, "purpose": purpose}
    return (yield from ask(Call("POST", "/v1/files/uploads", json=body), Upload))


def get_upload(upload_id: str) -> Flow[Upload]:
    """Which parts have arrived, and fresh links."""
    return (yield from ask(Call("GET", f"/v1/files/uploads/{upload_id}"), Upload))


def complete_upload(upload_id: str) -> Flow[File]:
    """Make a file of the parts; called again, it is the same file."""
    return (yield from ask(Call("POST", f"/v1/files/uploads/{upload_id}/complete"), File))


def abort_upload(upload_id: str) -> Flow[None]:
    """Forget an upload."""
    yield from tell(Call("DELETE", f"/v1/files/uploads/{upload_id}"))


def send_upload(
    file: Path | str,
    *,
    purpose: Literal["input", "reference"] = "input",
    upload_id: str | None = None,
) -> Flow[File]:
    """Upload a file part by part, at most one in memory; with ``upload_id``, what is missing.

    To be able to go on after an interruption, ``create`` the upload first, and keep its id.

    Raises:
        ValueError: the file has another size than the upload.
    """
    path = Path(file)
    if upload_id is None:
        upload = yield from create_upload(path.name, path.stat().st_size, purpose=purpose)
    else:
        upload = yield from get_upload(upload_id)
    if path.stat().st_size != upload.bytes:
        raise ValueError(f"{path} has not the {upload.bytes} bytes that were announced")
    with path.open("rb") as content:
        for part in upload.parts:
            if not part.arrived:
                content.seek((part.number - 1) * upload.part_bytes)
                piece = (path.name, content.read(part.bytes))
                yield Exchange(Call("POST", part.url, form=part.fields, file=piece))
    return (yield from complete_upload(upload.id))


class Uploads(Resource[D]):
    """``client.uploads``. Their scope is ``files``."""

    create = Operation(create_upload)
    get = Operation(get_upload)
    complete = Operation(complete_upload)
    abort = Operation(abort_upload)
    send = Operation(send_upload)
