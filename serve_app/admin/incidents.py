"""Incidents: tell users of a disturbance on ``/status``, of what is new, and of its end."""

from __future__ import annotations

from db.operations import audit_log, incidents
from db.operations.incidents import IncidentStory
from db.session import Sessions
from serve_app.auth.identity import Identity
from serve_app.http.errors import NotFound


async def open_incident(
    sessions: Sessions, staff: Identity, title: str, generator: str | None
) -> str:
    """Open an incident of a generator, which the caller has looked up, or of all; return its id."""
    async with sessions.begin() as session:
        incident_id = await incidents.open_incident(session, title, generator)
        await audit_log.write(
            session,
            actor=staff.user_id,
            action="incident.opened",
            subject=incident_id,
            detail={"title": title, "generator": generator},
        )
    return incident_id


async def add_note(sessions: Sessions, staff: Identity, incident_id: str, text: str) -> None:
    """Say what is new, of an open incident or of one that is over; raises NotFound."""
    async with sessions.begin() as session:
        if not await incidents.add_note(session, incident_id, text):
            raise NotFound
        await audit_log.write(
            session,
            actor=staff.user_id,
            action="incident.noted",
            subject=incident_id,
            detail={"text": text},
        )


async def close(sessions: Sessions, staff: Identity, incident_id: str) -> bool:
    """Say that it is over; returns False if none of that id is open."""
    async with sessions.begin() as session:
        closed = await incidents.close_incident(session, incident_id)
        if closed:
            await audit_log.write(
                session, actor=staff.user_id, action="incident.closed", subject=incident_id
            )
    return closed


async def get(sessions: Sessions, incident_id: str) -> IncidentStory:
    """Return an incident and its notes; raises NotFound."""
    async with sessions() as session:
        story = await incidents.get(session, incident_id)
    if story is None:
        raise NotFound
    return story
