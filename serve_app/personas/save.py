"""Save a persona: its pictures, then ONE transaction (persona, pictures, record of consent)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import personas
from db.accounts.personas import PersonaWithFiles
from db.ids import new_id
from db.operations import audit_log
from db.tables import File, Persona
from serve_app.auth.identity import Identity
from serve_app.http import idempotency
from serve_app.http.errors import NotFound
from serve_app.limits.storage import check_inserted
from serve_app.personas.pictures import resolve_pictures
from serve_app.personas.schemas import CONSENT, PersonaBody, PersonaChange
from serve_app.resources import Clients


async def save(
    clients: Clients, identity: Identity, body: PersonaBody, idempotency_key: str | None
) -> tuple[PersonaWithFiles, bool]:
    """Create a persona; returns it, and whether an earlier request with the same key created it.

    Raises:
        BadInput: a picture is not there.
        IdempotencyMismatch: the key was used with another body.
        NotFound: the persona that the key created was deleted since.
        StorageQuotaExceeded: there is no room for copies of the pictures.
    """
    user_id = identity.user_id
    hashed = idempotency.body_hash("POST /v1/personas", body.model_dump(mode="json"))
    if idempotency_key is not None:
        async with clients.sessions() as session:
            first = await idempotency.find(session, user_id, idempotency_key, hashed)
        if first is not None:
            return await get(clients, user_id, first), True
    shown = await resolve_pictures(clients, user_id, body.file_ids)
    persona = Persona(
        id=new_id("per"),
        user_id=user_id,
        name=body.name,
        description=body.description,
        consented_at=datetime.now(UTC),
        consent=CONSENT,
    )
    async with clients.sessions.begin() as session:
        if idempotency_key is not None:
            first = await idempotency.claim(session, user_id, idempotency_key, hashed, persona.id)
        else:
            first = None
        if first is None:
            session.add(persona)
            await session.flush()
            await _set_pictures(session, clients, persona.id, shown)
            await _record_consent(session, identity, persona.id, shown)
    if first is not None:
        return await get(clients, user_id, first), True
    return await get(clients, user_id, persona.id), False


async def change(
    clients: Clients, identity: Identity, persona_id: str, body: PersonaChange
) -> PersonaWithFiles:
    """Change a persona and return it. Pictures that it no longer uses stay files of the user.

    Raises:
        NotFound: also for another user's persona.
        BadInput: a picture is not there.
        StorageQuotaExceeded: there is no room for copies of the pictures.
    """
    await get(clients, identity.user_id, persona_id)
    shown = None
    if body.file_ids is not None:
        shown = await resolve_pictures(clients, identity.user_id, body.file_ids)
    async with clients.sessions.begin() as session:
        persona = await personas.lock(session, persona_id, identity.user_id)
        if persona is None:
            raise NotFound
        if body.name is not None:
            persona.name = body.name
        if body.description is not None:
            persona.description = body.description
        if shown is not None:
            persona.consented_at, persona.consent = datetime.now(UTC), CONSENT
            await _set_pictures(session, clients, persona_id, shown)
        persona.updated_at = datetime.now(UTC)
        if shown is not None:
            await session.flush()
            await _record_consent(session, identity, persona_id, shown)
    return await get(clients, identity.user_id, persona_id)


async def get(clients: Clients, user_id: str, persona_id: str) -> PersonaWithFiles:
    """Return the persona; raises NotFound, also for another user's persona."""
    async with clients.sessions() as session:
        found = await personas.find_owned(session, [persona_id], user_id)
    if persona_id not in found:
        raise NotFound
    return found[persona_id]


async def _set_pictures(
    session: AsyncSession, clients: Clients, persona_id: str, shown: Sequence[File]
) -> None:
    copies = [file for file in shown if inspect(file).transient]
    session.add_all(copies)
    await session.flush()
    if copies:
        size = sum(file.bytes for file in copies)
        await check_inserted(session, clients.settings.limits, copies[0].user_id, size)
    await personas.set_pictures(session, persona_id, [file.id for file in shown])


async def _record_consent(
    session: AsyncSession, identity: Identity, persona_id: str, shown: Sequence[File]
) -> None:
    """Record the consent in the audit log; the record outlives the persona."""
    await audit_log.write(
        session,
        actor=identity.api_key_id or identity.user_id,
        action="persona.consent",
        subject=persona_id,
        detail={"statement": CONSENT, "sha256": [file.sha256 for file in shown]},
    )
