"""Who gets in, and with which role: disable and enable accounts, change roles.

Each change is guarded by a condition on the row, and the audit log has its row of it in the same
transaction.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import users
from db.operations import audit_log
from db.session import Sessions
from db.tables import Role, User
from serve_app.auth import api_keys, refresh
from serve_app.auth.identity import Identity
from serve_app.auth.permissions import Permission, adds_permissions, roles_in_reach
from serve_app.http.errors import InvalidToken, NotFound, OwnAccount, PermissionMissing


def check_reach(staff: Identity, owner: User) -> None:
    """Raise PermissionMissing if ``owner`` is staff, too, and ``staff`` may not act on staff."""
    if owner.role not in roles_in_reach(staff.role):
        raise PermissionMissing(Permission.ACCOUNTS_STAFF.value)


async def disable(sessions: Sessions, staff: Identity, user_id: str) -> bool:
    """Let nobody log in or use a key of the account; returns False if it was disabled before.

    Jobs that it has submitted are finished.

    Raises:
        NotFound: no such user, or one that was deleted.
        OwnAccount: it is the account of ``staff``.
        PermissionMissing: it is an account of staff, or ``staff`` lost the role meanwhile.
        InvalidToken: ``staff`` was disabled or deleted meanwhile.
    """
    if user_id == staff.user_id:
        raise OwnAccount
    async with sessions.begin() as session:
        staff = await _lock(session, staff, user_id, Permission.ACCOUNTS_DISABLE)
        # Whoever became staff a moment ago is out of reach: the UPDATE itself looks at the role.
        disabled = await users.disable(session, user_id, roles_in_reach(staff.role))
        if disabled:
            await refresh.revoke_user(session, user_id)
            await audit_log.write(
                session, actor=staff.user_id, action="user.disabled", subject=user_id
            )
    if not disabled:
        await _explain(sessions, staff, user_id)
    return disabled


async def enable(sessions: Sessions, staff: Identity, user_id: str) -> bool:
    """Let the owner and the keys of an account in again; returns False if it was not disabled.

    Raises:
        NotFound: no such user, or one that was deleted.
        PermissionMissing: it is an account of staff.
    """
    async with sessions.begin() as session:
        enabled = await users.enable(session, user_id, roles_in_reach(staff.role))
        if enabled:
            await audit_log.write(
                session, actor=staff.user_id, action="user.enabled", subject=user_id
            )
    if not enabled:
        await _explain(sessions, staff, user_id)
    return enabled


async def set_role(sessions: Sessions, staff: Identity, user_id: str, role: Role) -> int | None:
    """Give an account a role, which its tokens and keys have from the next request on.

    Keys with the scope ``admin`` that were made under a role with fewer permissions must not gain
    those of the new one: they are revoked, and staff make new ones. Returns how many were revoked,
    None if the account had the role before.

    Raises:
        NotFound: no such user, or one that was deleted.
        OwnAccount: it is the account of ``staff``, so that no administrator locks themselves out.
        PermissionMissing: ``staff`` lost the role meanwhile.
        InvalidToken: ``staff`` was disabled or deleted meanwhile.
    """
    if user_id == staff.user_id:
        raise OwnAccount
    async with sessions.begin() as session:
        await _lock(session, staff, user_id, Permission.ACCOUNTS_ROLE)
        before = await users.set_role(session, user_id, role)
        revoked = 0
        if before is not None:
            if adds_permissions(before, role):
                revoked = await api_keys.revoke_admin_keys(session, user_id)
            await audit_log.write(
                session,
                actor=staff.user_id,
                action="user.role",
                subject=user_id,
                detail={"before": before, "role": role, "keys_revoked": revoked},
            )
    if before is None:
        await _explain(sessions, staff, user_id)
        return None
    return revoked


async def _lock(
    session: AsyncSession, staff: Identity, user_id: str, permission: Permission
) -> Identity:
    """Lock both accounts, and return ``staff`` with the role that it has now.

    The request was let in before: of administrators who shut each other out at the same moment the
    first does, and the others are administrators no more. So whoever did it last is one.

    Raises:
        PermissionMissing: ``staff`` lost the permission meanwhile.
        InvalidToken: ``staff`` was disabled or deleted meanwhile.
    """
    if not staff.is_account:
        return staff
    roles = await users.lock_roles(session, {staff.user_id, user_id}, exclusive=True)
    role = roles.get(staff.user_id)
    if role is None:
        raise InvalidToken
    staff = replace(staff, role=role)
    if not staff.may(permission):
        raise PermissionMissing(permission.value)
    return staff


async def _explain(sessions: Sessions, staff: Identity, user_id: str) -> None:
    """Raise what kept an UPDATE from its row, unless the row was as it should be."""
    async with sessions() as session:
        user = await users.get(session, user_id)
    if user is None or user.deleted_at is not None:
        raise NotFound
    check_reach(staff, user)
