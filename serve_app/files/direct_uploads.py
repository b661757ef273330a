"""Uploads that clients send straight to the object store, in parts, and can go on with.

All of an unfinished upload lies under ``temp/`` in the bucket, in a folder of its user, and is
swept after a day: what it will be (a JSON file), and a part an object. The object store takes
parts of the announced size alone. The last call checks the content as that of any other upload is
checked, and makes a file of the parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import IntegrityError

from db.accounts import files
from db.errors import ObjectMissing
from db.ids import new_id
from db.object_store import temp_key
from db.tables import File
from serve_app.files.content import HEAD_BYTES
from serve_app.files.upload import insert_file, known_content_type, object_key_of, safe_name
from serve_app.http.errors import (
    BadInput,
    NotFound,
    StorageQuotaExceeded,
    TooLarge,
    TooManyUploads,
    UploadIncomplete,
)
from serve_app.limits.storage import check_room_for_file
from serve_app.resources import Clients

PART_BYTES = 8 << 20
LINKS_LAST = timedelta(hours=1)
# Unfinished ones of a user; each may fill the object store with as much as a file may have.
MAX_PENDING = 100
_DESCRIPTION = ".json"


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

    @property
    def keys(self) -> list[str]:
        """Where the parts lie, in their order."""
        return [self.key(part) for part in self.parts]

    def key(self, part: int) -> str:
        """Return where a part lies."""
        return temp_key(self.user_id, f"{self.id}-part-{part:05}")

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

    def check_complete(self) -> None:
        """Raise UploadIncomplete, unless all parts are there."""
        missing = [part for part in self.upload.parts if not self.has(part)]
        if missing:
            raise UploadIncomplete(
                f"Of {len(self.upload.parts)} parts, {len(missing)} are missing.",
                missing=missing[:100],
            )


async def announce(
    clients: Clients, user_id: str, name: str, size: int, purpose: str
) -> UploadState:
    """Begin an upload of ``size`` bytes.

    Raises:
        TooLarge: files may not be so large.
        TooManyUploads: too many are not finished.
        StorageQuotaExceeded: the user's files would take more than the plan has.
    """
    most = clients.settings.limits.max_upload_bytes
    if size > most:
        raise TooLarge(f"A file has at most {most} bytes.")
    async with clients.statements() as session:
        await check_room_for_file(session, clients.settings.limits, user_id, size)
    stored = await clients.objects.list(temp_key(user_id, "upl_"))
    if sum(item.key.endswith(_DESCRIPTION) for item in stored) >= MAX_PENDING:
        raise TooManyUploads
    upload = PendingUpload(
        id=new_id("upl"),
        user_id=user_id,
        file_id=new_id("file"),
        purpose=purpose,
        name=safe_name(name),
        bytes=size,
    )
    description = upload.model_dump_json().encode()
    key = temp_key(user_id, upload.id + _DESCRIPTION)
    await clients.objects.put_bytes(key, description, "application/json")
    return UploadState(upload, {})


async def read_state(clients: Clients, user_id: str, upload_id: str) -> UploadState:
    """Return an upload that is not forgotten, and which parts have arrived.

    Raises:
        NotFound: there is none, it is somebody else's, or it is older than a day.
    """
    try:
        described = await clients.objects.get_bytes(temp_key(user_id, upload_id + _DESCRIPTION))
    except ObjectMissing as error:
        raise NotFound from error
    upload = PendingUpload.model_validate_json(described)
    of_parts = await clients.objects.list(temp_key(user_id, f"{upload_id}-part-"))
    sizes = {item.key: item.size for item in of_parts}
    arrived = {part: sizes[key] for part, key in enumerate(upload.keys, start=1) if key in sizes}
    return UploadState(upload, arrived)


async def complete(clients: Clients, user_id: str, upload_id: str) -> File:
    """Make a file of the parts. Called again, it returns the same file.

    Raises:
        NotFound: as ``read_state``, or the file was deleted since.
        UploadIncomplete: parts are missing.
        BadInput: it is no picture and no sound of a known format; the upload is forgotten.
        StorageQuotaExceeded: there is no room; the parts stay, to be completed when there is.
        Unavailable: too many large files are looked at.
    """
    state = await read_state(clients, user_id, upload_id)
    upload = state.upload
    if (known := await _find(clients, upload)) is not None:
        return known
    state.check_complete()
    # Before the parts are copied and read: who has no room may ask again and again.
    try:
        async with clients.statements() as session:
            await check_room_for_file(session, clients.settings.limits, user_id, upload.bytes)
    except StorageQuotaExceeded:
        if (known := await _find(clients, upload)) is not None:  # another call took the room for it
            return known
        raise
    # Of its own, so that two calls at once overwrite nothing.
    key = object_key_of(user_id, new_id("file"), upload.name, upload.purpose)
    async with clients.large_bodies.take_in(user_id):
        try:
            content_type, sha256 = await _compose(clients, upload, key)
        except ObjectMissing:  # another call has made the file, and deleted the parts
            return await _made_by_another_call(clients, upload)
        except BadInput:
            await _forget(clients, upload, key)
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
    except StorageQuotaExceeded:
        await clients.objects.delete([key])
        raise
    except IntegrityError:  # it was completed twice at once
        await clients.objects.delete([key])
        return await _made_by_another_call(clients, upload)
    await clients.objects.delete(upload.keys)
    return made


async def abort(clients: Clients, user_id: str, upload_id: str) -> None:
    """Forget an upload and what of it has arrived.

    Raises:
        NotFound: as ``read_state``.
    """
    state = await read_state(clients, user_id, upload_id)
    await _forget(clients, state.upload)


async def _forget(clients: Clients, upload: PendingUpload, *further: str) -> None:
    description = temp_key(upload.user_id, upload.id + _DESCRIPTION)
    await clients.objects.delete([*upload.keys, *further, description])


async def _find(clients: Clients, upload: PendingUpload) -> File | None:
    async with clients.sessions() as session:
        return await files.get_owned(session, upload.file_id, upload.user_id)


async def _made_by_another_call(clients: Clients, upload: PendingUpload) -> File:
    found = await _find(clients, upload)
    if found is None:
        raise NotFound
    return found


async def _compose(clients: Clients, upload: PendingUpload, key: str) -> tuple[str, str]:
    """Make one object of the parts; returns its type and its SHA-256 (hex).

    Raises:
        ObjectMissing: a part is missing.
        UploadIncomplete: a part was replaced meanwhile.
        BadInput: it is no picture and no sound of a known format.
    """
    await clients.objects.compose(upload.keys, key)
    digest, head, size = hashlib.sha256(), b"", 0
    async with clients.objects.reading(key) as pieces:
        async for piece in pieces:
            digest.update(piece)
            head, size = head or piece[:HEAD_BYTES], size + len(piece)
            if size > upload.bytes:
                break
    if size != upload.bytes:
        await clients.objects.delete([key])
        raise UploadIncomplete("A part was replaced by another while the upload was completed.")
    return known_content_type(head), digest.hexdigest()
