"""Files: upload, list, read, download, delete; and local files in a job's input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from atelier_client.calls import Answer, Call, Flow, Page, ask, tell
from atelier_client.downloads import download, place_in
from atelier_client.resources import D, Operation, Resource

Purpose = Literal["input", "reference", "output"]


class File(Answer):
    """A stored file; ``url`` is a signed link, which works until ``expires_at``."""

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


def upload_file(
    file: Path | str | bytes,
    *,
    purpose: Literal["input", "reference"] = "input",
    name: str | None = None,
) -> Flow[File]:
    """Upload a picture or a sound, by its path or its bytes.

    A connection that breaks may leave it there twice; files cost nothing.
    """
    content = file if isinstance(file, bytes) else Path(file).read_bytes()
    name = name or ("file" if isinstance(file, bytes) else Path(file).name)
    sent = Call("POST", "/v1/files", form={"purpose": purpose}, file=(name, content))
    return (yield from ask(sent, File))


def list_files(
    *, purpose: Purpose | None = None, limit: int | None = None, after: str | None = None
) -> Flow[Page[File]]:
    """Your files, newest first: uploads, and what your jobs made."""
    params = {"purpose": purpose, "limit": limit, "after": after}
    return (yield from ask(Call("GET", "/v1/files", params=params), Page[File]))


def get_file(file_id: str) -> Flow[File]:
    """A file, with a fresh link."""
    return (yield from ask(Call("GET", f"/v1/files/{file_id}"), File))


def delete_file(file_id: str) -> Flow[None]:
    """Erase a file. A waiting job that names it will fail, and cost nothing."""
    yield from tell(Call("DELETE", f"/v1/files/{file_id}"))


def download_file(file_id: str, path: Path | str) -> Flow[Path]:
    """Save a file as ``path``, or under its own name if that is a folder; returns where it is."""
    file = yield from get_file(file_id)
    return (yield from download(file.url, file.sha256, place_in(path, file.name)))


class Files(Resource[D]):
    """``client.files``. Their scope is ``files``."""

    upload = Operation(upload_file)
    list = Operation(list_files)
    get = Operation(get_file)
    delete = Operation(delete_file)
    download = Operation(download_file)


def upload_paths(given: Any) -> Flow[Any]:
    """Upload each ``pathlib.Path`` in an input, once, and name it by its ``file_id`` instead."""
    ids: dict[Path, str] = {}
    for path in _paths(given):
        if path not in ids:
            ids[path] = (yield from upload_file(path)).id
    return _replaced(given, {path: {"file_id": file_id} for path, file_id in ids.items()})


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)


def _replaced(value: Any, media: Mapping[Path, Any]) -> Any:
    if isinstance(value, Path):
        return media[value]
    if isinstance(value, Mapping):
        return {name: _replaced(item, media) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, media) for item in value]
    return value
