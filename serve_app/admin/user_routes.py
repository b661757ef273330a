"""For staff: accounts, their plans, limits and roles."""

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from db.accounts.users import AccountFilter, state
from db.tables import Role, User
from serve_app.admin import access, users
from serve_app.admin.schemas import (
    AccountSummaryView,
    AccountView,
    GrantBody,
    RoleBody,
    UserLimitsBody,
)
from serve_app.auth.identity import Identity, require
from serve_app.auth.permissions import Permission
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    IdempotencyKeyDep,
    LimitDep,
    require_json,
    validate_id,
)
from serve_app.http.errors import OwnAccount
from serve_app.http.pagination import Page, paginate
from serve_app.http.problems import problem_responses
from serve_app.limits.usage import limit_views
from serve_app.routing import make_router

router = make_router("/v1/admin/users", tags=["admin"])


@router.get("")
async def index(
    staff: Annotated[Identity, require(Permission.ACCOUNTS_READ)],
    clients: ClientsDep,
    email: Annotated[
        str | None,
        Query(
            pattern=r"^[^\s\x00-\x1f]{1,254}$", description="A part of the address, in any case."
        ),
    ] = None,
    role: Role | None = None,
    disabled: Annotated[bool, Query(description="Only those that are disabled.")] = False,
    limit: LimitDep = 20,
    after: AfterDep = None,
) -> Page[AccountSummaryView]:
    """Accounts, newest first, without those that are erased."""
    rows = await users.page(clients, AccountFilter(email, role, disabled), after, limit + 1)
    page_rows, has_more, following = paginate(rows, limit)
    views = [AccountSummaryView(**_columns(row)) for row in page_rows]
    return Page(data=views, has_more=has_more, next=following)


@router.get("/{user_id}")
async def look(
    user_id: str,
    staff: Annotated[Identity, require(Permission.ACCOUNTS_READ)],
    clients: ClientsDep,
) -> AccountView:
    """An account, its plan and its limits."""
    return _view(await users.get(clients, validate_id(user_id, "usr")))


@router.patch("/{user_id}", dependencies=[Depends(require_json)])
async def change(
    user_id: str,
    body: UserLimitsBody,
    staff: Annotated[Identity, require(Permission.ACCOUNTS_LIMITS)],
    clients: ClientsDep,
) -> AccountView:
    """Another plan, or limits of its own; jobs that waited for the room go on within seconds."""
    return _view(await users.change(clients, staff, validate_id(user_id, "usr"), body))


@router.put(
    "/{user_id}/role",
    dependencies=[Depends(require_json)],
    responses=problem_responses(OwnAccount),
)
async def change_role(
    user_id: str,
    body: RoleBody,
    staff: Annotated[Identity, require(Permission.ACCOUNTS_ROLE)],
    clients: ClientsDep,
) -> AccountView:
    """Another role; the account's tokens and keys have it from the next request on.

    A role with permissions that the one before lacked revokes its keys with the scope `admin`.
    """
    await access.set_role(clients.sessions, staff, validate_id(user_id, "usr"), body.role)
    return _view(await users.get(clients, user_id))


@router.post("/{user_id}/disable", responses=problem_responses(OwnAccount))
async def disable(
    user_id: str,
    staff: Annotated[Identity, require(Permission.ACCOUNTS_DISABLE)],
    clients: ClientsDep,
) -> AccountView:
    """End all log-ins, and let in neither the owner nor a key until the account is enabled again.

    Its jobs are finished. An account of staff takes the permission `accounts.staff`, too.
    """
    await access.disable(clients.sessions, staff, validate_id(user_id, "usr"))
    return _view(await users.get(clients, user_id))


@router.post("/{user_id}/enable")
async def enable(
    user_id: str,
    staff: Annotated[Identity, require(Permission.ACCOUNTS_DISABLE)],
    clients: ClientsDep,
) -> AccountView:
    """Let the owner and the keys of a disabled account in again."""
    await access.enable(clients.sessions, staff, validate_id(user_id, "usr"))
    return _view(await users.get(clients, user_id))


@router.post("/{user_id}/grants", status_code=201, dependencies=[Depends(require_json)])
async def grant(
    user_id: str,
    body: GrantBody,
    staff: Annotated[Identity, require(Permission.CREDITS_GRANT)],
    clients: ClientsDep,
    response: Response,
    idempotency_key: IdempotencyKeyDep = None,
) -> AccountView:
    """Give credits; what the account owes is paid of them first. Kept in the audit log."""
    granted = await users.grant(clients, staff, validate_id(user_id, "usr"), body, idempotency_key)
    if not granted:
        response.headers["Idempotent-Replayed"] = "true"
    return _view(await users.get(clients, user_id))


def _columns(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "state": state(user),
        "created_at": user.created_at,
        "balance": user.balance,
        "held": user.held,
        "debt": user.debt,
        "plan": user.plan,
        "max_waiting_jobs": user.max_waiting_jobs,
        "max_running_jobs": user.max_running_jobs,
    }


def _view(account: users.Account) -> AccountView:
    user, usage = account
    return AccountView(**_columns(user), **limit_views(usage))
