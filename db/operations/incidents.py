"""Incidents: disturbances that operators tell users of on ``/status``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import Incident, IncidentNote


@dataclass(frozen=True)
class IncidentStory:
    """An incident and its notes, oldest first."""

    incident: Incident
    notes: Sequence[IncidentNote]


async def open_incident(session: AsyncSession, title: str, generator: str | None) -> str:
    """Open an incident of one generator, or of all (None); return its id."""
    row_id = new_id("inc")
    await session.execute(insert(Incident).values(id=row_id, title=title, generator=generator))
    return row_id


async def add_note(session: AsyncSession, incident_id: str, text: str) -> bool:
    """Add a note; False if there is no such incident."""
    if await session.get(Incident, incident_id) is None:
        return False
    await session.execute(insert(IncidentNote).values(incident_id=incident_id, text=text))
    return True


async def close_incident(session: AsyncSession, incident_id: str) -> bool:
    """Close an incident; False if none of that id is open."""
    closed_id = await session.scalar(
        update(Incident)
        .where(Incident.id == incident_id, Incident.closed_at.is_(None))
        .values(closed_at=func.now())
        .returning(Incident.id)
    )
    return closed_id is not None


async def get(session: AsyncSession, incident_id: str) -> IncidentStory | None:
    """Return an incident with its notes."""
    incident = await session.get(Incident, incident_id)
    if incident is None:
        return None
    (story,) = await _with_notes(session, [incident])
    return story


async def newest(
    session: AsyncSession,
    limit: int,
    closed_within: timedelta | None = None,
    *,
    after: str | None = None,
) -> list[IncidentStory]:
    """Return up to ``limit`` incidents with their notes, newest first.

    With ``closed_within`` those that were closed longer ago are left out, with
    ``after`` those that are not older than the incident of that id.
    """
    query = select(Incident).order_by(Incident.opened_at.desc(), Incident.id.desc()).limit(limit)
    if closed_within is not None:
        recent = Incident.closed_at >= func.now() - closed_within
        query = query.where(or_(Incident.closed_at.is_(None), recent))
    if after is not None:
        opened_at = select(Incident.opened_at).where(Incident.id == after).scalar_subquery()
        query = query.where(tuple_(Incident.opened_at, Incident.id) < tuple_(opened_at, after))
    return await _with_notes(session, (await session.scalars(query)).all())


async def _with_notes(session: AsyncSession, found: Sequence[Incident]) -> list[IncidentStory]:
    notes = await session.scalars(
        select(IncidentNote)
        .where(IncidentNote.incident_id.in_([one.id for one in found]))
        .order_by(IncidentNote.id)
    )
    of: dict[str, list[IncidentNote]] = {one.id: [] for one in found}
    for note in notes:
        of[note.incident_id].append(note)
    return [IncidentStory(one, of[one.id]) for one in found]
