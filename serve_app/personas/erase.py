"""Erase a persona with its pictures; only the record of the consent stays."""

from __future__ import annotations

from db.accounts import files, personas
from db.operations import audit_log
from serve_app.auth.identity import Identity
from serve_app.http.errors import NotFound
from serve_app.personas.save import get
from serve_app.resources import Clients


async def erase(clients: Clients, identity: Identity, persona_id: str) -> None:
    """Erase a persona, its objects first: if a later step fails, erasing again completes it.

    A waiting job that names the persona will fail, and cost nothing. Pictures that another persona
    uses stay.

    Raises:
        NotFound: also for another user's persona.
    """
    await get(clients, identity.user_id, persona_id)
    async with clients.sessions() as session:
        doomed = await personas.exclusive_files(session, persona_id)
    await clients.objects.delete([file.object_key for file in doomed])
    async with clients.sessions.begin() as session:
        persona = await personas.lock(session, persona_id, identity.user_id)
        if persona is None:
            raise NotFound
        for file in doomed:
            await files.mark_deleted(session, file.id, identity.user_id)
        await session.delete(persona)
        await session.flush()
        await audit_log.write(
            session,
            actor=identity.api_key_id or identity.user_id,
            action="persona.deleted",
            subject=persona_id,
        )
