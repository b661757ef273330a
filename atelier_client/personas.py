"""Personas: people who are saved, to be drawn again and again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from atelier_client.calls import Answer, Call, Flow, Page, ask, creation, tell
from atelier_client.resources import D, Operation, Resource


class Picture(Answer):
    """A picture of a persona; ``url`` is a signed link, which works until ``expires_at``."""

    file_id: str
    content_type: str
    bytes: int
    url: str
    expires_at: datetime


class Consent(Answer):
    """When it was said, in which words, that the person shown agrees."""

    statement: str
    at: datetime


class Persona(Answer):
    """Somebody saved; named in inputs by ``persona_id``."""

    id: str
    object: Literal["persona"] = "persona"
    name: str
    description: str
    images: list[Picture]
    consent: Consent
    created_at: datetime
    updated_at: datetime


def create_persona(
    name: str,
    file_ids: Sequence[str],
    *,
    consent: Literal[True],
    description: str = "",
    idempotency_key: str | None = None,
) -> Flow[Persona]:
    """Save somebody, by one to eight pictures that were uploaded before.

    ``consent`` says that the person shown agreed to pictures and films being made of them.
    """
    body = {
        "name": name,
        "description": description,
        "file_ids": list(file_ids),
        "consent": consent,
    }
    return (yield from ask(creation("/v1/personas", body, idempotency_key), Persona))


def list_personas(*, limit: int | None = None, after: str | None = None) -> Flow[Page[Persona]]:
    """Your personas, newest first."""
    params = {"limit": limit, "after": after}
    return (yield from ask(Call("GET", "/v1/personas", params=params), Page[Persona]))


def get_persona(persona_id: str) -> Flow[Persona]:
    """A persona, with fresh links to its pictures."""
    return (yield from ask(Call("GET", f"/v1/personas/{persona_id}"), Persona))


def update_persona(
    persona_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    file_ids: Sequence[str] | None = None,
    consent: Literal[True] | None = None,
) -> Flow[Persona]:
    """Change a persona; what is left out stays. Other pictures need ``consent`` anew."""
    given: dict[str, Any] = {
        "name": name,
        "description": description,
        "file_ids": None if file_ids is None else list(file_ids),
        "consent": consent,
    }
    body = {field: value for field, value in given.items() if value is not None}
    return (yield from ask(Call("PATCH", f"/v1/personas/{persona_id}", json=body), Persona))


def delete_persona(persona_id: str) -> Flow[None]:
    """Erase a persona and its pictures; what was made of it stays with its jobs."""
    yield from tell(Call("DELETE", f"/v1/personas/{persona_id}"))


class Personas(Resource[D]):
    """``client.personas``. Their scope is ``files``."""

    create = Operation(create_persona)
    list = Operation(list_personas)
    get = Operation(get_persona)
    update = Operation(update_persona)
    delete = Operation(delete_persona)
