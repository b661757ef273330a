"""What the calls of OpenAI's clients share: the files of forms, and the submission of a job."""

from __future__ import annotations

import asyncio
import base64

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from serve_app.auth.identity import Identity
from serve_app.files.content import HEAD_BYTES, content_type_of
from serve_app.http.body import BoundedRequest
from serve_app.http.dependencies import wants_fresh
from serve_app.http.errors import BadInput, FieldError, TooLarge
from serve_app.http.request_context import request_context
from serve_app.jobs.repeated import submit_or_find
from serve_app.jobs.schemas import SubmitBody
from serve_app.resources import Clients


async def submit(
    clients: Clients,
    identity: Identity,
    request: Request,
    body: SubmitBody,
    idempotency_key: str | None,
) -> str:
    """Submit a job and return its id; the openai package says when it repeats a request."""
    if isinstance(request, BoundedRequest):
        await request.aclose()  # it was read, and whoever waits holds no place of large bodies
    job = await submit_or_find(
        clients,
        identity,
        body,
        repeats=request.headers.get("x-stainless-retry-count", "0") != "0",
        idempotency_key=idempotency_key,
        request_id=request_context(request).request_id,
        fresh=wants_fresh(request.headers.get("cache-control")),
    )
    return job.id


def files_of(form: FormData, *names: str) -> list[UploadFile]:
    """Return the files under these names."""
    return [
        value for name in names for value in form.getlist(name) if isinstance(value, UploadFile)
    ]


async def inline(clients: Clients, file: UploadFile, param: str) -> dict[str, str]:
    """Return a picture of the form as inputs carry one: it becomes a file of the job.

    Raises:
        BadInput: it is no picture.
        TooLarge: it is larger than inputs may carry.
    """
    if (file.size or 0) * 4 // 3 > clients.settings.limits.max_inline_bytes:
        raise TooLarge("The picture is too large to be sent along.")
    content = await file.read()
    kind = content_type_of(content[:HEAD_BYTES])
    if kind is None:
        words = "the file is no picture of a known format"
        error: FieldError = {"loc": [param], "msg": words, "code": "unreadable_file"}
        raise BadInput(words, errors=[error])
    encoded = await asyncio.to_thread(base64.b64encode, content)
    return {"data": f"data:{kind};base64,{encoded.decode()}"}
