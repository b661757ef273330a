"""Personas: save, list, read, change, delete."""

from datetime import UTC, datetime, timedelta

from fastapi import Depends, Response

from db.accounts import personas
from db.accounts.personas import PersonaWithFiles
from serve_app.auth.identity import FilesDep
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    IdempotencyKeyDep,
    LimitDep,
    require_json,
    validate_id,
)
from serve_app.http.errors import NotFound
from serve_app.http.pagination import Page, paginate
from serve_app.http.problems import CREATED_AT, problem_responses
from serve_app.personas.erase import erase
from serve_app.personas.save import change, get, save
from serve_app.personas.schemas import (
    ConsentView,
    PersonaBody,
    PersonaChange,
    PersonaView,
    PictureView,
)
from serve_app.resources import Clients
from serve_app.routing import make_router

router = make_router("/v1/personas", tags=["personas"])


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(require_json)],
    responses={201: {"headers": CREATED_AT}, **problem_responses(NotFound)},
)
async def create(
    body: PersonaBody,
    identity: FilesDep,
    clients: ClientsDep,
    response: Response,
    idempotency_key: IdempotencyKeyDep = None,
) -> PersonaView:
    """Save somebody, with pictures uploaded before and the word that the person agreed."""
    saved, replayed = await save(clients, identity, body, idempotency_key)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/personas/{saved.id}"
    return _view(clients, saved)


@router.get("")
async def index(
    identity: FilesDep, clients: ClientsDep, limit: LimitDep = 20, after: AfterDep = None
) -> Page[PersonaView]:
    """Your personas, newest first."""
    async with clients.sessions() as session:
        rows = await personas.page(session, identity.user_id, after, limit + 1)
    page_rows, has_more, following = paginate(rows, limit)
    views = [_view(clients, saved) for saved in page_rows]
    return Page(data=views, has_more=has_more, next=following)


@router.get("/{persona_id}")
async def look(persona_id: str, identity: FilesDep, clients: ClientsDep) -> PersonaView:
    """A persona, with fresh links to its pictures."""
    return _view(clients, await get(clients, identity.user_id, validate_id(persona_id, "per")))


@router.patch("/{persona_id}", dependencies=[Depends(require_json)])
async def edit(
    persona_id: str, body: PersonaChange, identity: FilesDep, clients: ClientsDep
) -> PersonaView:
    """Change name, description or pictures. Jobs that run already keep what they began with."""
    saved = await change(clients, identity, validate_id(persona_id, "per"), body)
    return _view(clients, saved)


@router.delete("/{persona_id}", status_code=204)
async def delete(persona_id: str, identity: FilesDep, clients: ClientsDep) -> None:
    """Erase a persona and its pictures; what was made of it stays with its jobs.

    A waiting job that names it will fail, and cost nothing.
    """
    await erase(clients, identity, validate_id(persona_id, "per"))


def _view(clients: Clients, saved: PersonaWithFiles) -> PersonaView:
    persona, lasts = saved.persona, timedelta(seconds=clients.settings.limits.link_seconds)
    images = [
        PictureView(
            file_id=file.id,
            content_type=file.content_type,
            bytes=file.bytes,
            url=clients.objects.presign_get(file.object_key, lasts, content_type=file.content_type),
            expires_at=datetime.now(UTC) + lasts,
        )
        for file in saved.files
    ]
    return PersonaView(
        id=persona.id,
        name=persona.name,
        description=persona.description,
        images=images,
        consent=ConsentView(statement=persona.consent, at=persona.consented_at),
        created_at=persona.created_at,
        updated_at=persona.updated_at,
    )
