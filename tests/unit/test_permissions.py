"""The table of permissions, and what docs/api.md says of it."""

from pathlib import Path

import pytest

from db.tables import ROLES, Role
from serve_app.auth.permissions import (
    PERMISSIONS,
    Permission,
    adds_permissions,
    allows,
    roles_in_reach,
)

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def documented() -> dict[str, tuple[bool, ...]]:
    """By permission, whether support, ops and admin have it: the rows that begin with one."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].strip("`") in set(Permission):
            found[cells[0].strip("`")] = tuple(cell == "yes" for cell in cells[1:4])
    return found


def test_the_page_says_what_each_role_may() -> None:
    staff = ("support", "ops", "admin")
    assert documented() == {
        one.value: tuple(allows(role, one) for role in staff) for one in Permission
    }


def test_every_role_has_a_line_and_only_administrators_have_all() -> None:
    assert tuple(PERMISSIONS) == ROLES
    assert PERMISSIONS["user"] == frozenset()
    assert PERMISSIONS["admin"] == frozenset(Permission)
    assert not any(allows("chief", one) for one in Permission)


@pytest.mark.parametrize("role", ["support", "ops"])
@pytest.mark.parametrize(
    "permission",
    [
        Permission.CREDITS_GRANT,
        Permission.LEDGER_READ,
        Permission.ACCOUNTS_ROLE,
        Permission.ACCOUNTS_LIMITS,
        Permission.ACCOUNTS_STAFF,
        Permission.INPUTS_READ,
        Permission.LOGIN_BY_KEY,
    ],
)
def test_money_powers_and_contents_are_the_administrators_alone(
    role: str, permission: Permission
) -> None:
    assert not allows(role, permission)


def test_only_administrators_reach_staff() -> None:
    assert roles_in_reach("admin") == ROLES
    for role in ("support", "ops", "user", "chief"):
        assert list(roles_in_reach(role)) == ["user"]


def test_who_gives_roles_reaches_staff() -> None:
    # ``set_role`` asks for the first alone, and changes the roles of staff.
    for role in ROLES:
        assert allows(role, Permission.ACCOUNTS_STAFF) or not allows(role, Permission.ACCOUNTS_ROLE)


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ("user", "support", True),
        ("support", "ops", True),
        ("ops", "admin", True),
        ("admin", "ops", False),
        ("support", "user", False),
        ("admin", "admin", False),
    ],
)
def test_what_a_new_role_adds(before: Role, after: Role, more: bool) -> None:
    assert adds_permissions(before, after) == more
