"""For administrators: accounts, their plans and limits."""

from fastapi import Depends, Response

from serve_app.admin import users
from serve_app.admin.schemas import AccountView, GrantBody, UserLimitsBody
from serve_app.auth.identity import AdminDep
from serve_app.http.dependencies import ClientsDep, IdempotencyKeyDep, require_json, validate_id
from serve_app.limits.usage import limit_views
from serve_app.routing import make_router

router = make_router("/v1/admin/users", tags=["admin"])


@router.get("/{user_id}")
async def look(user_id: str, admin: AdminDep, clients: ClientsDep) -> AccountView:
    """An account, its plan and its limits."""
    return _view(await users.get(clients, validate_id(user_id, "usr")))


@router.patch("/{user_id}", dependencies=[Depends(require_json)])
async def change(
    user_id: str, body: UserLimitsBody, admin: AdminDep, clients: ClientsDep
) -> AccountView:
    """Another plan, or limits of its own; jobs that waited for the room go on within seconds."""
    return _view(await users.change(clients, admin, validate_id(user_id, "usr"), body))


@router.post("/{user_id}/grants", status_code=201, dependencies=[Depends(require_json)])
async def grant(
    user_id: str,
    body: GrantBody,
    admin: AdminDep,
    clients: ClientsDep,
    response: Response,
    idempotency_key: IdempotencyKeyDep = None,
) -> AccountView:
    """Give credits; what the account owes is paid of them first. Kept in the audit log."""
    granted = await users.grant(clients, admin, validate_id(user_id, "usr"), body, idempotency_key)
    if not granted:
        response.headers["Idempotent-Replayed"] = "true"
    return _view(await users.get(clients, user_id))


def _view(account: users.Account) -> AccountView:
    user, usage = account
    return AccountView(
        id=user.id,
        email=user.email,
        role=user.role,
        created_at=user.created_at,
        balance=user.balance,
        held=user.held,
        debt=user.debt,
        plan=user.plan,
        max_waiting_jobs=user.max_waiting_jobs,
        max_running_jobs=user.max_running_jobs,
        **limit_views(usage),
    )
