"""``/openai/v1/videos``: films for OpenAI's clients, whose own service was shut down in 2026."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import File, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from db.jobs.queries import JobFilter
from serve_app.auth.identity import JobsReadDep, JobsWriteDep
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    IdempotencyKeyDep,
    LimitDep,
    validate_id,
)
from serve_app.http.problems import validated
from serve_app.jobs.erase import erase
from serve_app.jobs.read import list_jobs
from serve_app.jobs.schemas import SubmitBody
from serve_app.openai.errors import OpenAIRoute
from serve_app.openai.models import DEFAULT_VIDEO_MODEL, FILM_GENERATORS, generator_of
from serve_app.openai.submission import files_of, inline, submit
from serve_app.openai.videos import (
    RemixBody,
    VideoBody,
    VideoView,
    film_input,
    film_metadata,
    film_output,
    get_film,
    parse_film,
    remixed_input,
    video_view,
)
from serve_app.routing import body_kind, form_parts, make_router, rate_class

router = make_router(
    "/openai/v1/videos", tags=["openai"], route_class=OpenAIRoute, documented=False
)

MAX_FIELDS = 30
# Their clients ask again after so long.
POLL_AFTER_MS = "1000"


@router.post("")
@body_kind("media")
@form_parts(1, MAX_FIELDS)
@rate_class("submit")
async def create_video(
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    # Not used: it is there so that FastAPI reads a form.
    input_reference: Annotated[UploadFile | str | None, File()] = None,
    idempotency_key: IdempotencyKeyDep = None,
) -> VideoView:
    """Make a film."""
    form = await request.form()
    fields, reference = _reference_fields(form)
    files = files_of(form, "input_reference")
    body = validated(VideoBody, fields)
    model = body.model or DEFAULT_VIDEO_MODEL
    generator = generator_of(clients, model, FILM_GENERATORS)
    picture = await inline(clients, files[0], "input_reference") if files else reference
    film = parse_film(body, picture)
    order = {
        "generator": generator,
        "input": film_input(generator, film),
        "metadata": film_metadata(model, str(film.seconds), f"{film.width}x{film.height}"),
    }
    job_id = await submit(clients, identity, request, validated(SubmitBody, order), idempotency_key)
    return video_view(await get_film(clients, identity.user_id, job_id))


@router.get("")
async def list_videos(
    identity: JobsReadDep,
    clients: ClientsDep,
    limit: LimitDep = 20,
    after: AfterDep = None,
    order: Annotated[Literal["desc"], Query(description="Newest first.")] = "desc",
) -> dict[str, Any]:
    """Your films, newest first."""
    which = JobFilter(generators=FILM_GENERATORS)
    rows = await list_jobs(clients, identity.user_id, which, after, limit + 1)
    films = [video_view(job) for job in rows[:limit]]
    return {
        "object": "list",
        "data": films,
        "first_id": films[0].id if films else None,
        "last_id": films[-1].id if films else None,
        "has_more": len(rows) > limit,
    }


@router.get("/{video_id}")
async def get_video(
    video_id: str, identity: JobsReadDep, clients: ClientsDep, response: Response
) -> VideoView:
    """A film; its job, if it is not done."""
    response.headers["openai-poll-after-ms"] = POLL_AFTER_MS
    return video_view(await get_film(clients, identity.user_id, validate_id(video_id, "job")))


@router.get("/{video_id}/content", response_class=RedirectResponse, status_code=302)
async def get_video_content(
    video_id: str,
    identity: JobsReadDep,
    clients: ClientsDep,
    variant: Literal["video", "thumbnail", "spritesheet"] = "video",
) -> str:
    """The film itself, or its still picture: a redirect to a signed link."""
    job = await get_film(clients, identity.user_id, validate_id(video_id, "job"))
    output = film_output(job, variant)
    lasts = timedelta(seconds=clients.settings.limits.link_seconds)
    kind = output["content_type"]
    return clients.objects.presign_get(output["object_key"], lasts, content_type=kind)


@router.delete("/{video_id}")
async def delete_video(
    video_id: str, identity: JobsWriteDep, clients: ClientsDep
) -> dict[str, Any]:
    """Erase a film that is done or failed."""
    job = await get_film(clients, identity.user_id, validate_id(video_id, "job"))
    await erase(clients, identity.user_id, job.id)
    return {"id": job.id, "object": "video.deleted", "deleted": True}


@router.post("/{video_id}/remix")
@rate_class("submit")
async def remix_video(
    video_id: str,
    body: RemixBody,
    identity: JobsWriteDep,
    clients: ClientsDep,
    request: Request,
    idempotency_key: IdempotencyKeyDep = None,
) -> VideoView:
    """Make a film anew with another prompt, and all else as it was."""
    source = await get_film(clients, identity.user_id, validate_id(video_id, "job"))
    was = video_view(source)
    kept = film_metadata(was.model, was.seconds, was.size) | {"openai_remixed_from": source.id}
    order = {
        "generator": source.generator,
        "input": remixed_input(source, body.prompt),
        "metadata": kept,
    }
    job_id = await submit(clients, identity, request, validated(SubmitBody, order), idempotency_key)
    return video_view(await get_film(clients, identity.user_id, job_id))


def _reference_fields(form: FormData) -> tuple[dict[str, str], dict[str, str] | None]:
    """Return the fields of a film's form, and the reference among them as an input names one."""
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    file_id = fields.pop("input_reference[file_id]", None)
    url = fields.pop("input_reference[image_url]", None)
    if file_id is not None:
        return fields, {"file_id": file_id}
    if url is not None:
        return fields, {"data": url} if url.startswith("data:") else {"url": url}
    return fields, None
