"""References of an input: check them before credits are held, and store inline files.

A file inside the request becomes a stored file of the job, and the row names its id. So a job can
be read, listed and retried without its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db.accounts import files, personas
from db.ids import new_id
from db.jobs import queries
from db.object_store import input_key
from db.tables import File
from deployments.contract import BadInput as Unusable
from deployments.contract import Request
from deployments.references import (
    MAX_BYTES,
    FileId,
    JobId,
    Media,
    PersonaId,
    Reference,
    decode_data_uri,
    find_references,
)
from serve_app.files.content import HEAD_BYTES, content_type_of, kind_of, suffix_of
from serve_app.http.errors import BadInput, FieldError
from serve_app.resources import Clients


@dataclass(frozen=True)
class Named:
    """What an input names, by id: files and personas of the user."""

    files: Mapping[str, File]
    personas: Mapping[str, personas.PersonaWithFiles]


async def check_references(clients: Clients, user_id: str, request: Request) -> Named:
    """Return what ``request`` names.

    Raises:
        BadInput: with every reference that the user cannot use.
    """
    references = find_references(request)
    if not references:
        return Named({}, {})
    file_ids = [file_id for item in references if (file_id := _file_id(item)) is not None]
    people = [item.target for item in references if isinstance(item.target, PersonaId)]
    faults: list[FieldError] = []
    async with clients.statements() as session:
        known = await files.find_owned(session, file_ids, user_id) if file_ids else {}
        saved = await personas.find_owned(session, people, user_id) if people else {}
        for reference in references:
            match reference.target:
                case JobId() as job_id:
                    job = await queries.get_owned(session, job_id, user_id)
                    if job is None or job.status != "succeeded" or not job.outputs:
                        faults.append(_field_error(reference, "no job of yours that succeeded"))
                case PersonaId() as persona_id:
                    if persona_id not in saved:
                        faults.append(_field_error(reference, "no persona of yours"))
                    elif not saved[persona_id].files:
                        faults.append(_field_error(reference, "a persona without pictures"))
                case Media() | FileId():
                    faults += _media_errors(reference, known)
    if faults:
        raise BadInput("The input names what is not there.", errors=faults)
    return Named(known, saved)


def _file_id(reference: Reference) -> str | None:
    target = reference.target
    return target.file_id if isinstance(target, Media) else _if_file(target)


def _if_file(target: str) -> str | None:
    return target if isinstance(target, FileId) else None


def _media_errors(reference: Reference, known: dict[str, File]) -> list[FieldError]:
    target, file_id = reference.target, _file_id(reference)
    expected_kind = target.kind if isinstance(target, Media) else None
    if file_id is not None:
        file = known.get(file_id)
        if file is None:
            return [_field_error(reference, "no file of yours")]
        if expected_kind is not None and kind_of(file.content_type) != expected_kind:
            return [_field_error(reference, f"not of kind {expected_kind} but {file.content_type}")]
    elif isinstance(target, Media) and target.data is not None:
        try:
            content = decode_data_uri(target.data)
        except Unusable as error:
            return [_field_error(reference, error.detail, error.code)]
        content_type = content_type_of(content[:HEAD_BYTES])
        if content_type is None or kind_of(content_type) != expected_kind:
            found = content_type or "of no known format"
            words = f"the data are not of kind {expected_kind} but {found}"
            return [_field_error(reference, words, "unreadable_data")]
        if len(content) > MAX_BYTES[target.kind]:
            most = MAX_BYTES[target.kind] // 1_000_000
            return [_field_error(reference, f"larger than {most} MB", "input_too_large")]
    return []


def _field_error(reference: Reference, words: str, code: str = "not_found") -> FieldError:
    return {"loc": ["input", *reference.path], "msg": words, "code": code}


async def store_inline_files(
    clients: Clients, user_id: str, job_id: str, request: Request, stored_input: dict[str, Any]
) -> tuple[dict[str, Any], Sequence[File]]:
    """Store the data URIs of an input; returns the input with file ids, and the rows of the files.

    The caller inserts the rows in the transaction that creates the job. Maintenance deletes objects
    without a row.
    """
    rows = []
    for reference in find_references(request):
        target = reference.target
        if not isinstance(target, Media) or target.data is None:
            continue
        content = decode_data_uri(target.data)
        content_type = content_type_of(content[:HEAD_BYTES]) or "application/octet-stream"
        name = reference.name + suffix_of(content_type)
        key = input_key(user_id, job_id, name)
        stored = await clients.objects.put_bytes(key, content, content_type)
        row = File(
            id=new_id("file"),
            user_id=user_id,
            job_id=job_id,
            purpose="input",
            object_key=key,
            name=name,
            content_type=content_type,
            bytes=stored.size,
            sha256=stored.sha256,
        )
        rows.append(row)
        stored_input = _replace_at(stored_input, reference.path, {"file_id": row.id})
    return stored_input, rows


def _replace_at(value: Any, path: Sequence[str | int], new: Any) -> Any:
    """Return a copy of a JSON value with ``new`` at ``path``."""
    if not path:
        return new
    step, *rest = path
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    changed[step] = _replace_at(value[step], rest, new)
    return changed
