"""Upload a file: detect its type, store the object, insert the row."""

from __future__ import annotations

import re

from fastapi import UploadFile
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from db.ids import new_id
from db.object_store import input_key, reference_key
from db.tables import File, User
from models.scratch import scratch_folder
from serve_app.files.content import HEAD_BYTES, content_type_of
from serve_app.http.errors import BadInput, InvalidToken, StorageQuotaExceeded
from serve_app.limits.storage import check_inserted, check_room_for_file
from serve_app.resources import Clients

CHUNK_BYTES = 1 << 20
MAX_NAME_LENGTH = 120
_UNSAFE_CHARACTERS = re.compile(r"[^\w.() -]+")


async def upload(
    clients: Clients, user_id: str, upload_file: UploadFile, purpose: str, file_id: str = ""
) -> File:
    """Store an uploaded file, under ``file_id`` if it was promised one.

    Raises:
        BadInput: the file is empty, or no picture or sound of a known format.
        StorageQuotaExceeded: the user's files would take more than the plan has.
    """
    content_type = known_content_type(await upload_file.read(HEAD_BYTES))
    await upload_file.seek(0)
    unique = new_id("file")  # two that are sent under one promised id overwrite nothing
    file_id = file_id or unique
    name = safe_name(upload_file.filename or "file")
    key = object_key_of(user_id, unique, name, purpose)
    if upload_file.size:
        async with clients.statements() as session:
            await check_room_for_file(session, clients.settings.limits, user_id, upload_file.size)
    with scratch_folder("upload") as folder:
        path = folder / "file"
        with path.open("wb") as file:
            while piece := await upload_file.read(CHUNK_BYTES):
                await run_in_threadpool(file.write, piece)
        stored = await clients.objects.put_file(key, path, content_type)
    row = File(
        id=file_id,
        user_id=user_id,
        purpose=purpose,
        object_key=key,
        name=name,
        content_type=content_type,
        bytes=stored.size,
        sha256=stored.sha256,
    )
    try:
        return await insert_file(clients, row)
    except StorageQuotaExceeded:
        await clients.objects.delete([key])
        raise


async def insert_file(clients: Clients, row: File) -> File:
    """Insert the row of a stored object and return it as it is then.

    Raises:
        InvalidToken: the account was deleted since the request was let in.
        StorageQuotaExceeded: the user's files would take more than the plan has.
    """
    async with clients.sessions.begin() as session:
        owner = select(User.deleted_at).where(User.id == row.user_id)
        if await session.scalar(owner) is not None:
            raise InvalidToken
        session.add(row)
        await session.flush()
        await check_inserted(session, clients.settings.limits, row.user_id, row.bytes)
        await session.refresh(row)
    return row


def known_content_type(head: bytes) -> str:
    """Return what begins like this.

    Raises:
        BadInput: it is no picture and no sound of a known format.
    """
    content_type = content_type_of(head)
    if content_type is None:
        raise BadInput(
            "The file is no picture (PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, HEIC, Radiance HDR)"
            " and no sound (WAV, MP3, AAC, FLAC, Ogg).",
            errors=[{"loc": ["file"], "msg": "unknown format", "code": "unreadable_file"}],
        )
    return content_type


def object_key_of(user_id: str, file_id: str, name: str, purpose: str) -> str:
    """Return where the content of an upload lies."""
    if purpose == "reference":
        return reference_key(user_id, f"{file_id}-{name}")
    return input_key(user_id, file_id, name)


def safe_name(name: str) -> str:
    """Return the last part of ``name`` in plain letters, safe in an object key and in a header."""
    last = _UNSAFE_CHARACTERS.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip(" .")
    stem, dot, suffix = last.rpartition(".")
    if dot and len(suffix) <= 8:
        return f"{stem[: MAX_NAME_LENGTH - len(suffix) - 1]}.{suffix}" if stem else suffix
    return last[:MAX_NAME_LENGTH] or "file"
