"""API keys: make, list, revoke."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import Depends, Response

from billing import key_budgets
from db.operations import audit_log
from db.tables import ApiKey
from serve_app.auth import api_keys
from serve_app.auth.identity import LoginDep, hold_role
from serve_app.auth.schemas import ApiKeyBody, ApiKeyChangeBody, ApiKeyView, NewApiKeyView
from serve_app.http import idempotency
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    IdempotencyKeyDep,
    LimitDep,
    require_json,
    validate_id,
)
from serve_app.http.errors import NotFound, ScopeMissing
from serve_app.http.pagination import Page, paginate
from serve_app.routing import make_router

router = make_router("/v1/api-keys", tags=["accounts"])


@router.post("", status_code=201, dependencies=[Depends(require_json)])
async def create(
    body: ApiKeyBody,
    identity: LoginDep,
    clients: ClientsDep,
    response: Response,
    idempotency_key: IdempotencyKeyDep = None,
) -> NewApiKeyView:
    """Make a key. It is shown in this answer and never again."""
    if not identity.scopes.issuperset(body.scopes):
        raise ScopeMissing("A key cannot have a scope that you do not have.")
    response.headers["Cache-Control"] = "no-store"
    async with clients.sessions.begin() as session:
        # A new role revokes keys; this one must be there before, or be asked for under the new one.
        await hold_role(session, identity)
        row, secret = await api_keys.create_api_key(
            session, identity.user_id, body.name, body.scopes, body.monthly_cap, body.expires_at
        )
        if idempotency_key is not None:
            hashed = idempotency.body_hash("POST /v1/api-keys", body.model_dump(mode="json"))
            first_id = await idempotency.claim(
                session, identity.user_id, idempotency_key, hashed, row.id
            )
            if first_id is not None:
                await session.delete(row)
                first = await session.get_one(ApiKey, first_id)
                response.headers["Idempotent-Replayed"] = "true"
                return _new_view(first, None)
        await audit_log.write(
            session,
            actor=identity.user_id,
            action="api_key.created",
            subject=row.id,
            detail=body.model_dump(mode="json", include={"scopes", "monthly_cap", "expires_at"}),
        )
    return _new_view(row, secret)


@router.get("")
async def index(
    identity: LoginDep, clients: ClientsDep, limit: LimitDep = 20, after: AfterDep = None
) -> Page[ApiKeyView]:
    """Your keys, newest first."""
    async with clients.sessions() as session:
        rows = await api_keys.page(session, identity.user_id, after, limit + 1)
        spent = await key_budgets.spent(session, [row.id for row in rows], datetime.now(UTC))
    page_rows, has_more, following = paginate(rows, limit)
    views = [_view(row, spent) for row in page_rows]
    return Page(data=views, has_more=has_more, next=following)


@router.patch("/{key_id}", dependencies=[Depends(require_json)])
async def change(
    key_id: str, body: ApiKeyChangeBody, identity: LoginDep, clients: ClientsDep
) -> ApiKeyView:
    """Another name, another cap; the cap holds from the next job on."""
    changes = body.model_dump(exclude_unset=True)
    async with clients.sessions.begin() as session:
        row = await api_keys.change(session, identity.user_id, validate_id(key_id, "key"), changes)
        if row is None:
            raise NotFound
        spent = await key_budgets.spent(session, [row.id], datetime.now(UTC))
        if "monthly_cap" in changes:
            await audit_log.write(
                session,
                actor=identity.user_id,
                action="api_key.limits",
                subject=key_id,
                detail={"monthly_cap": row.monthly_cap},
            )
    return _view(row, spent)


@router.delete("/{key_id}", status_code=204)
async def revoke(key_id: str, identity: LoginDep, clients: ClientsDep) -> None:
    """End a key; it stops working at once."""
    async with clients.sessions.begin() as session:
        if not await api_keys.revoke(session, identity.user_id, validate_id(key_id, "key")):
            raise NotFound
        await audit_log.write(
            session, actor=identity.user_id, action="api_key.revoked", subject=key_id
        )


def _view(row: ApiKey, spent: Mapping[str, int]) -> ApiKeyView:
    view = ApiKeyView.model_validate(row, from_attributes=True)
    return view.model_copy(update={"spent_this_month": spent.get(row.id, 0)})


def _new_view(row: ApiKey, secret: str | None) -> NewApiKeyView:
    view = _view(row, {})
    return NewApiKeyView(**view.model_dump(), key=secret)
