"""API keys: make, list, change, revoke. All of it takes a login, not a key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict, Unpack

from atelier_client.calls import Answer, Call, Flow, Page, ask, creation, tell
from atelier_client.resources import D, Operation, Resource

Scope = Literal["jobs:write", "jobs:read", "files", "billing", "admin"]


class ApiKey(Answer):
    """A key without the key itself; ``hint`` is its last four characters."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    hint: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    monthly_cap: int | None
    spent_this_month: int = 0


class NewApiKey(ApiKey):
    """A key just made. ``key`` is shown this once; a repeated request gets None."""

    key: str | None


def create_api_key(
    name: str,
    *,
    scopes: Sequence[Scope] = ("jobs:write", "jobs:read"),
    monthly_cap: int | None = None,
    expires_at: datetime | None = None,
) -> Flow[NewApiKey]:
    """Make a key; ``monthly_cap`` bounds the credits it may spend in a month (UTC).

    From ``expires_at`` on, a moment with a time zone, it is refused.
    """
    body: dict[str, object] = {"name": name, "scopes": list(scopes), "monthly_cap": monthly_cap}
    if expires_at is not None:
        body["expires_at"] = expires_at.isoformat()
    made = yield from ask(creation("/v1/api-keys", body), NewApiKey)
    if made.key is not None:
        return made
    # The answer that showed it was lost. Nobody can know the key any more: it is replaced.
    yield from revoke_api_key(made.id)
    return (yield from ask(creation("/v1/api-keys", body), NewApiKey))


def list_api_keys(*, limit: int | None = None, after: str | None = None) -> Flow[Page[ApiKey]]:
    """Your keys, newest first."""
    params = {"limit": limit, "after": after}
    return (yield from ask(Call("GET", "/v1/api-keys", params=params), Page[ApiKey]))


class ApiKeyChanges(TypedDict, total=False):
    """What to change of a key."""

    name: str
    monthly_cap: int | None


def update_api_key(key_id: str, **changes: Unpack[ApiKeyChanges]) -> Flow[ApiKey]:
    """Change ``name`` or ``monthly_cap``; what is left out stays, and a cap of None is none."""
    return (yield from ask(Call("PATCH", f"/v1/api-keys/{key_id}", json=changes), ApiKey))


def revoke_api_key(key_id: str) -> Flow[None]:
    """End a key; it stops working at once."""
    yield from tell(Call("DELETE", f"/v1/api-keys/{key_id}"))


class ApiKeys(Resource[D]):
    """``client.api_keys``."""

    create = Operation(create_api_key)
    list = Operation(list_api_keys)
    update = Operation(update_api_key)
    revoke = Operation(revoke_api_key)
