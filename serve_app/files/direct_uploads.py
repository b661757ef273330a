"""Uploads that clients send straight to the object store, in parts, and can go on with.

All of an unfinished upload lies under ``temp/`` in the bucket, which is swept after a day: what it
will be (``upload.json``), and a part an object. The last call checks the content as that of any
other upload is checked, and makes a file of the parts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import IntegrityError

from db.accounts import files
from db.errors import ObjectMissing
from db.ids import new_id
from db.object_store import temp_key
from db.tables import File
from serve_app.files.content import HEAD_BYTES
from serve_app.files.upload import insert_file, known_content_type, object_key_of, safe_name
from serve_app.http.errors import BadInput, NotFound, TooLarge, UploadIncomplete
from serve_app.resources import Clients

PART_BYTES = 8 << 20
LINKS_LAST = timedelta(hours=1)
_DESCRIPTION = "upload.json"


class PendingUpload(BaseModel):
    """What was announced; ``file_id`` is that of the file it becomes."""

    model_config = ConfigDict(frozen=True)

    id: str
    user_id: str
    file_id: str
    purpose: str
    name: str
    bytes: int

    @property
    def parts(self) -> range:
        """The numbers of the parts, from 1."""
        return range(1, -(-self.bytes // PART_BYTES) + 1)

    def key(self, part: int) -> str:
        """Return where a part lies."""
        return temp_key(self.id, f"part-{part:05}")

    def size(self, part: int) -> int:
        """Return how many bytes a part has."""
        return min(PART_BYTES, self.bytes - (part - 1) * PART_BYTES)


@dataclass(frozen=True)
class UploadState:
    """An upload, and the sizes of the parts that have arrived, by number."""

    upload: PendingUpload
    arrived: Mapping[int, int]

    def has(self, part: int) -> bool:
        """Return whether the whole part is there."""
        return self.arrived.get(part) == self.upload.size(part)


async def announce(
    clients: Clients, user_id: str, name: str, size: int, purpose: str
) -> UploadState:
    """Begin an upload of ``size`` bytes.

    Raises:
        TooLarge: files may not be so large.
    """
    most = clients.settings.limits.max_upload_bytes
    if size > most:
        raise TooLarge(f"A file has at most {most} bytes.")
    upload = PendingUpload(
        id=new_id("upl"),
        user_id=user_id,
        file_id=new_id("file"),
        purpose=purpose,
        name=safe_name(name),
        bytes=size,
    )
    description = upload.model_dump_json().encode()
    key = temp_key(upload.id, _DESCRIPTION)
    await clients.objects.put_bytes(key, description, "application/json")
    return UploadState(upload, {})


async def read_state(clients: Clients, user_id: str, upload_id: str) -> UploadState:
    """Return an upload that is not finished, and which parts have arrived.

    Raises:
        NotFound: there is none, it is somebody else's, or it is older than a day.
    """
    try:
        described = await clients.objects.get_bytes(temp_key(upload_id, _DESCRIPTION))
    except ObjectMissing as error:
        raise NotFound from error
    upload = PendingUpload.model_validate_json(described)
    if upload.user_id != user_id:
        raise NotFound
    stored = {
        item.key: item.size for item in await clients.objects.list(temp_key(upload_id, "part-"))
    }
    arrived = {
        part: stored[upload.key(part)] for part in upload.parts if upload.key(part) in stored
    }
    return UploadState(upload, arrived)


async def complete(clients: Clients, user_id: str, upload_id: str) -> File:
    """Make a file of the parts. Called again, it returns the same file.

    Raises:
        NotFound: as ``read_state``.
        UploadIncomplete: parts are missing, or have another size than announced.
        BadInput: it is no picture and no sound of a known format.
    """
    state = await read_state(clients, user_id, upload_id)
    upload = state.upload
    if (known := await _find(clients, upload)) is not None:
        return known
    missing = [part for part in upload.parts if not state.has(part)]
    if missing:
        raise UploadIncomplete(
            f"Of {len(upload.parts)} parts, {len(missing)} are missing or have another size.",
            missing=missing[:100],
        )
    key = object_key_of(user_id, upload.file_id, upload.name, upload.purpose)
    await clients.objects.compose([upload.key(part) for part in upload.parts], key)
    try:
        content_type, sha256 = await _examine(clients, upload, key)
    except BadInput:
        await clients.objects.delete([key])
        raise
    row = File(
        id=upload.file_id,
        user_id=user_id,
        purpose=upload.purpose,
        object_key=key,
        name=upload.name,
        content_type=content_type,
        bytes=upload.bytes,
        sha256=sha256,
    )
    try:
        made = await insert_file(clients, row)
    except IntegrityError:  # it was completed twice at once
        found = await _find(clients, upload)
        if found is None:
            raise NotFound from None
        return found
    await clients.objects.delete([upload.key(part) for part in upload.parts])
    return made


async def abort(clients: Clients, user_id: str, upload_id: str) -> None:
    """Forget an upload and what of it has arrived.

    Raises:
        NotFound: as ``read_state``.
    """
    state = await read_state(clients, user_id, upload_id)
    parts = [state.upload.key(part) for part in state.arrived]
    await clients.objects.delete([*parts, temp_key(upload_id, _DESCRIPTION)])


async def _find(clients: Clients, upload: PendingUpload) -> File | None:
    async with clients.sessions() as session:
        return await files.get_owned(session, upload.file_id, upload.user_id)


async def _examine(clients: Clients, upload: PendingUpload, key: str) -> tuple[str, str]:
    """Return the type and the SHA-256 (hex) of a stored object, which is read as a whole."""
    with TemporaryDirectory(prefix="atelier-upload-") as folder:
        path = Path(folder) / "file"
        await clients.objects.get_file(key, path)
        return await asyncio.to_thread(_examine_file, path)


def _examine_file(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        content_type = known_content_type(file.read(HEAD_BYTES))
        file.seek(0)
        return content_type, hashlib.file_digest(file, "sha256").hexdigest()
