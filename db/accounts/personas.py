"""Queries on personas and their pictures; each names the owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import File, Persona, PersonaFile


@dataclass(frozen=True)
class PersonaWithFiles:
    """A persona and its pictures in order, without those whose file was deleted."""

    persona: Persona
    files: tuple[File, ...]

    @property
    def id(self) -> str:
        return self.persona.id


async def find_owned(
    session: AsyncSession, persona_ids: Iterable[str], user_id: str
) -> dict[str, PersonaWithFiles]:
    """Return those of the personas that exist and belong to the user, by id."""
    query = select(Persona).where(Persona.id.in_(list(persona_ids)), Persona.user_id == user_id)
    return {saved.id: saved for saved in await _with_files(session, query)}


async def page(
    session: AsyncSession, user_id: str, after: str | None, limit: int
) -> Sequence[PersonaWithFiles]:
    """List the user's personas, newest first, older than the id ``after``."""
    query = select(Persona).where(Persona.user_id == user_id)
    if after is not None:
        query = query.where(Persona.id < after)
    return await _with_files(session, query.order_by(Persona.id.desc()).limit(limit))


async def lock(session: AsyncSession, persona_id: str, user_id: str) -> Persona | None:
    """Lock and return the user's persona, or None; no other transaction can change it meanwhile."""
    return await session.scalar(
        select(Persona)
        .where(Persona.id == persona_id, Persona.user_id == user_id)
        .with_for_update()
    )


async def set_pictures(session: AsyncSession, persona_id: str, file_ids: Sequence[str]) -> None:
    """Replace the pictures of the persona, in this order."""
    await session.execute(delete(PersonaFile).where(PersonaFile.persona_id == persona_id))
    session.add_all(
        PersonaFile(persona_id=persona_id, file_id=file_id, position=position)
        for position, file_id in enumerate(file_ids)
    )
    await session.flush()


async def exclusive_files(session: AsyncSession, persona_id: str) -> Sequence[File]:
    """List the persona's pictures that no other persona uses."""
    others = (
        select(PersonaFile.file_id)
        .where(PersonaFile.file_id == File.id, PersonaFile.persona_id != persona_id)
        .correlate(File)
    )
    query = (
        select(File)
        .join(PersonaFile, PersonaFile.file_id == File.id)
        .where(PersonaFile.persona_id == persona_id, File.deleted_at.is_(None), ~exists(others))
    )
    return (await session.scalars(query)).all()


async def _with_files(session: AsyncSession, query: Select[Persona]) -> Sequence[PersonaWithFiles]:
    saved = (await session.scalars(query)).all()
    pictures = (
        select(PersonaFile.persona_id, File)
        .join(File, File.id == PersonaFile.file_id)
        .where(
            PersonaFile.persona_id.in_([persona.id for persona in saved]), File.deleted_at.is_(None)
        )
        .order_by(PersonaFile.position)
    )
    rows = (await session.execute(pictures)).all() if saved else []
    return [
        PersonaWithFiles(persona, tuple(file for owner, file in rows if owner == persona.id))
        for persona in saved
    ]
