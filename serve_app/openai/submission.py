"""What the calls of OpenAI's clients share: forms, files, and the submission of a job."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request, UploadFile
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as FormFile

from serve_app.auth.identity import Identity
from serve_app.files.upload import CHUNK_BYTES, upload
from serve_app.http.errors import BadInput
from serve_app.http.problems import field_errors
from serve_app.http.request_context import request_context
from serve_app.jobs.repeated import submit_or_find
from serve_app.jobs.schemas import SubmitBody
from serve_app.resources import Clients

Model = TypeVar("Model", bound=BaseModel)


async def submit(
    clients: Clients,
    identity: Identity,
    request: Request,
    fingerprint: str,
    submission: Callable[[], Awaitable[SubmitBody]],
) -> str:
    """Submit a job and return its id; the openai package says when it repeats a request."""
    repeats = request.headers.get("x-stainless-retry-count", "0") != "0"
    job = await submit_or_find(
        clients,
        identity,
        fingerprint,
        submission,
        repeats=repeats,
        request_id=request_context(request).request_id,
    )
    return job.id


def files_of(form: FormData, *names: str) -> list[FormFile]:
    """Return the files under these names."""
    return [value for name in names for value in form.getlist(name) if isinstance(value, FormFile)]


def validated(model: type[Model], fields: dict[str, Any]) -> Model:
    """Read the fields of a form; raises BadInput."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False, include_input=False))
        raise BadInput(found[0]["msg"] if found else None, errors=found) from error


async def hash_of(file: FormFile) -> str:
    """Return the SHA-256 of a file of the form, which can be read again."""
    digest = hashlib.sha256()
    while piece := await file.read(CHUNK_BYTES):
        digest.update(piece)
    await file.seek(0)
    return digest.hexdigest()


async def uploaded(clients: Clients, identity: Identity, file: FormFile) -> dict[str, str]:
    """Store a file of the form; returns it as an input names one."""
    as_upload = UploadFile(file.file, size=file.size, filename=file.filename, headers=file.headers)
    row = await upload(clients, identity.user_id, as_upload, "input")
    return {"file_id": row.id}
