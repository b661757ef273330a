"""For administrators: accounts, their plans and limits."""

from fastapi import APIRouter, Depends

from serve_app.admin import users
from serve_app.admin.schemas import AccountView, UserLimitsBody
from serve_app.auth.identity import AdminDep
from serve_app.deps import ClientsDep, checked_id, require_json
from serve_app.limits import used

router = APIRouter(prefix="/v1/admin/users", tags=["admin"])


@router.get("/{user_id}")
async def look(user_id: str, admin: AdminDep, clients: ClientsDep) -> AccountView:
    """An account, its plan and its limits."""
    return _view(await users.look(clients, checked_id(user_id, "usr")))


@router.patch("/{user_id}", dependencies=[Depends(require_json)])
async def change(
    user_id: str, body: UserLimitsBody, admin: AdminDep, clients: ClientsDep
) -> AccountView:
    """Another plan, or limits of its own; jobs that waited for the room go on within seconds."""
    return _view(await users.change(clients, admin, checked_id(user_id, "usr"), body))


def _view(account: users.Account) -> AccountView:
    user, standing = account
    return AccountView(
        id=user.id,
        email=user.email,
        role=user.role,
        created_at=user.created_at,
        balance=user.balance,
        held=user.held,
        plan=user.plan,
        max_waiting_jobs=user.max_waiting_jobs,
        max_running_jobs=user.max_running_jobs,
        **used(standing),
    )
