"""``/openai/v1``: models and images for OpenAI's clients (openai-python 3.57).

Translation only: the same jobs, credits and limits as under ``/v1``. OpenAI documents the calls;
docs/api.md says what differs here.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import File, Request, Response, UploadFile
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as FormFile

from serve_app.auth.identity import Identity, JobsReadDep
from serve_app.http.dependencies import ClientsDep, IdempotencyKeyDep
from serve_app.http.errors import BadInput
from serve_app.http.event_source import EventSource
from serve_app.http.problems import validated
from serve_app.jobs.schemas import SubmitBody
from serve_app.limits.waiting import WaitingDep
from serve_app.openai.errors import ModelNotFound, OpenAIRoute
from serve_app.openai.images import ImageBody, Kind, Pictures, image_input
from serve_app.openai.models import IMAGE_GENERATOR, ModelView, generator_of, model_views
from serve_app.openai.submission import files_of, inline, submit
from serve_app.resources import Clients
from serve_app.routing import body_kind, form_parts, make_router, rate_class

router = make_router("/openai/v1", tags=["openai"], route_class=OpenAIRoute, documented=False)

# OpenAI takes 16 images and a mask; more than one image is refused in words.
MAX_FILES, MAX_FIELDS = 17, 30
FILES = {"image", "image[]", "mask"}


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


@router.post("/images/generations", response_model=None)
@rate_class("submit")
async def generate_images(
    body: ImageBody,
    identity: WaitingDep,
    clients: ClientsDep,
    request: Request,
    idempotency_key: IdempotencyKeyDep = None,
) -> Response | dict[str, Any]:
    """Draw pictures from a prompt."""
    generator_of(clients, body.named_model, (IMAGE_GENERATOR,))
    order = validated(SubmitBody, {"generator": IMAGE_GENERATOR, "input": image_input(body)})
    job_id = await submit(clients, identity, request, order, idempotency_key)
    return await _pictures(clients, identity, request, job_id, "image_generation", body)


@router.post("/images/edits", response_model=None)
@body_kind("media")
@form_parts(MAX_FILES, MAX_FIELDS)
@rate_class("submit")
async def edit_image(
    identity: WaitingDep,
    clients: ClientsDep,
    request: Request,
    # Not used: it is there so that FastAPI reads a form, whose files have one of two names.
    image: Annotated[list[UploadFile] | None, File()] = None,
    idempotency_key: IdempotencyKeyDep = None,
) -> Response | dict[str, Any]:
    """Draw a picture anew; with a mask, only where that is transparent."""
    form = await request.form()
    body = _image_form(form)
    generator_of(clients, body.named_model, (IMAGE_GENERATOR,))
    images, masks = files_of(form, "image", "image[]"), files_of(form, "mask")
    if len(images) != 1 or len(masks) > 1:
        words = "one image is edited at a time, with at most one mask"
        raise BadInput(words, errors=[{"loc": ["image"], "msg": words, "code": "not_supported"}])
    given = image_input(body) | {"init_image": await inline(clients, images[0], "image")}
    if masks:
        given["mask"] = await inline(clients, masks[0], "mask")
        for side in ("width", "height"):  # the result has the size of the image
            given.pop(side, None)
    order = validated(SubmitBody, {"generator": IMAGE_GENERATOR, "input": given})
    job_id = await submit(clients, identity, request, order, idempotency_key)
    return await _pictures(clients, identity, request, job_id, "image_edit", body)


async def _pictures(
    clients: Clients,
    identity: Identity,
    request: Request,
    job_id: str,
    kind: Kind,
    body: ImageBody,
) -> Response | dict[str, Any]:
    pictures = Pictures(clients, identity, job_id, kind, body)
    if body.stream:
        return EventSource(pictures.events())
    return await pictures.answer(request.receive)


def _image_form(form: FormData) -> ImageBody:
    items = form.multi_items()
    fields = {name: value for name, value in items if isinstance(value, str)}
    files = {name for name, value in items if isinstance(value, FormFile)}
    return validated(ImageBody, {**fields, **dict.fromkeys(files - FILES)})
