"""Downloads: streamed into a file, and checked against their SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx

from atelier_client.calls import Body, Call, Flow, Open, Read
from atelier_client.errors import ConnectionFailed, DownloadCorrupted

ATTEMPTS = 3


def download(url: str, sha256: str, path: Path) -> Flow[Path]:
    """Save what a signed link leads to. ``path`` is there once it is whole and has that SHA-256.

    Raises:
        DownloadCorrupted: it has another one.
        ConnectionFailed: it did not come whole in three attempts.
        ApiError: the link has expired, or the file was erased.
        OSError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = yield from _receive(url, part)
                break
            except httpx.TransportError as cause:
                if attempt == ATTEMPTS:
                    raise ConnectionFailed(path.name, cause) from cause
        if found != sha256:
            raise DownloadCorrupted(f"{path.name} has the SHA-256 {found}, not {sha256}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _receive(url: str, path: Path) -> Flow[str]:
    body: Body = yield Open(Call("GET", url, stream=True))
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while chunk := (yield Read(body)):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def place_in(path: Path | str, name: str) -> Path:
    """Where a file of that name goes: into ``path`` if that is a folder, else ``path`` itself.

    The service chose the name, so it may not lead out of the folder.
    """
    path = Path(path)
    return path / Path(name).name if path.is_dir() else path
