"""Check the pictures of a persona, and copy them to objects of the persona's own."""

from __future__ import annotations

from collections.abc import Sequence

from db.accounts import files
from db.errors import ObjectMissing
from db.ids import new_id
from db.object_store import reference_key
from db.tables import File
from serve_app.files.content import kind_of
from serve_app.http.errors import BadInput, FieldError
from serve_app.resources import Clients


async def resolve_pictures(clients: Clients, user_id: str, file_ids: Sequence[str]) -> list[File]:
    """Return a row for each picture, in order; pictures of another purpose than ``reference`` are
    copied. The caller inserts the new rows; maintenance deletes copies without a row.

    Raises:
        BadInput: names every file that is not there, or is no picture.
    """
    async with clients.sessions() as session:
        known = await files.find_owned(session, file_ids, user_id)
    faults: list[FieldError] = []
    for place, file_id in enumerate(file_ids):
        file = known.get(file_id)
        if file is None:
            faults.append(_field_error(place, "no file of yours", "not_found"))
        elif kind_of(file.content_type) != "image":
            faults.append(_field_error(place, f"no picture but {file.content_type}", "not_found"))
    if faults:
        raise BadInput("The persona's pictures are not all there.", errors=faults)
    rows = []
    for place, file_id in enumerate(file_ids):
        file = known[file_id]
        try:
            rows.append(file if file.purpose == "reference" else await _copy(clients, file))
        except ObjectMissing as error:  # erased since it was read
            fault = _field_error(place, "no file of yours", "not_found")
            raise BadInput("A picture is gone.", errors=[fault]) from error
    return rows


async def _copy(clients: Clients, file: File) -> File:
    file_id = new_id("file")
    key = reference_key(file.user_id, f"{file_id}-{file.name}")
    await clients.objects.copy(file.object_key, key)
    return File(
        id=file_id,
        user_id=file.user_id,
        purpose="reference",
        object_key=key,
        name=file.name,
        content_type=file.content_type,
        bytes=file.bytes,
        sha256=file.sha256,
    )


def _field_error(place: int, words: str, code: str) -> FieldError:
    return {"loc": ["file_ids", place], "msg": words, "code": code}
