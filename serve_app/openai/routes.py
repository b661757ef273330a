"""``/openai/v1``: models and images for OpenAI's clients (openai-python 3.57).

Translation only: the same jobs, credits and limits as under ``/v1``. OpenAI documents the calls;
docs/api.md says what differs here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, File, Request, Response, UploadFile
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as FormFile

from serve_app.auth.identity import Identity, JobsReadDep, JobsWriteDep
from serve_app.http.dependencies import ClientsDep
from serve_app.http.errors import BadInput
from serve_app.http.event_source import EventSource
from serve_app.http.idempotency import body_hash
from serve_app.jobs.schemas import SubmitBody
from serve_app.openai.errors import ModelNotFound, OpenAIRoute
from serve_app.openai.images import ImageBody, Kind, Pictures, image_input
from serve_app.openai.models import IMAGE_GENERATOR, ModelView, generator_of, model_views
from serve_app.openai.submission import files_of, hash_of, submit, uploaded, validated
from serve_app.resources import Clients
from serve_app.routing import body_kind, form_parts, make_router

router = make_router("/openai/v1", tags=["openai"], route_class=OpenAIRoute, documented=False)

# OpenAI takes 16 images and a mask; more than one image is refused in words.
MAX_FILES, MAX_FIELDS = 17, 30


@router.get("/models")
async def list_models(identity: JobsReadDep, clients: ClientsDep) -> dict[str, Any]:
    """Every name that a request may give as its model."""
    return {"object": "list", "data": model_views(clients)}


@router.get("/models/{model}")
async def get_model(model: str, identity: JobsReadDep, clients: ClientsDep) -> ModelView:
    """One of them."""
    for view in model_views(clients):
        if view.id == model:
            return view
    raise ModelNotFound(f"The model '{model[:100]}' does not exist here.")


async def _who_waits(identity: JobsWriteDep, clients: ClientsDep) -> AsyncIterator[Identity]:
    """Who asks, counted as a stream until the answer has ended."""
    with clients.open_streams.admit(identity.user_id, identity.plan):
        yield identity


@router.post("/images/generations", response_model=None)
@body_kind("media")
async def generate_images(
    body: ImageBody,
    identity: Annotated[Identity, Depends(_who_waits)],
    clients: ClientsDep,
    request: Request,
) -> Response | dict[str, Any]:
    """Draw pictures from a prompt."""
    generator_of(clients, body.named_model, (IMAGE_GENERATOR,))

    async def submission() -> SubmitBody:
        return SubmitBody(generator=IMAGE_GENERATOR, input=image_input(body))

    fingerprint = body_hash("images/generations", body.model_dump(mode="json"))
    job = await submit(clients, identity, request, fingerprint, submission)
    return await _pictures(clients, identity, job, "image_generation", body)


@router.post("/images/edits", response_model=None)
@body_kind("media")
@form_parts(MAX_FILES, MAX_FIELDS)
async def edit_image(
    identity: Annotated[Identity, Depends(_who_waits)],
    clients: ClientsDep,
    request: Request,
    image: Annotated[list[UploadFile] | None, File()] = None,  # it says that a form is sent
) -> Response | dict[str, Any]:
    """Draw a picture anew; with a mask, only where that is transparent."""
    form = await request.form()
    body = _image_form(form)
    generator_of(clients, body.named_model, (IMAGE_GENERATOR,))
    images, masks = files_of(form, "image", "image[]"), files_of(form, "mask")
    if len(images) != 1 or len(masks) > 1:
        words = "one image is edited at a time, with at most one mask"
        raise BadInput(words, errors=[{"loc": ["image"], "msg": words, "code": "not_supported"}])

    async def submission() -> SubmitBody:
        given = image_input(body) | {"init_image": await uploaded(clients, identity, images[0])}
        if masks:
            given["mask"] = await uploaded(clients, identity, masks[0])
        return SubmitBody(generator=IMAGE_GENERATOR, input=given)

    hashes = [await hash_of(file) for file in (*images, *masks)]
    fingerprint = body_hash("images/edits", [body.model_dump(mode="json"), hashes])
    job = await submit(clients, identity, request, fingerprint, submission)
    return await _pictures(clients, identity, job, "image_edit", body)


async def _pictures(
    clients: Clients, identity: Identity, job_id: str, kind: Kind, body: ImageBody
) -> Response | dict[str, Any]:
    pictures = Pictures(clients, identity.user_id, job_id, kind, body)
    if body.stream:
        return EventSource(pictures.events())
    return await pictures.answer()


def _image_form(form: FormData) -> ImageBody:
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    unknown = {name for name, value in form.multi_items() if isinstance(value, FormFile)} - {
        "image",
        "image[]",
        "mask",
    }
    return validated(ImageBody, {**fields, **dict.fromkeys(unknown)})
