"""``atelier-admin users``, ``keys`` and ``grants``: what they change holds, and is audited."""

import pytest
from sqlalchemy import select

from db.tables import AuditLog
from tests.support.admin_command import Admin
from tests.support.http import Person, World, problem
from tests.support.quick_passwords import hash_quickly


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hash_quickly(monkeypatch)


async def audited(api: World) -> list[tuple[str, str, str]]:
    async with api.sessions() as session:
        rows = await session.scalars(select(AuditLog).order_by(AuditLog.id))
        return [(row.actor, row.action, row.subject) for row in rows]


async def test_an_administrator_makes_an_account_that_can_log_in(
    api: World, atelier_admin: Admin
) -> None:
    password = await atelier_admin.done("users", "create", "Ada@example.com", "--role", "admin")
    token = (await api.log_in("ada@example.com", password))["access_token"]
    me = await api.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert (me.json()["email"], me.json()["role"]) == ("ada@example.com", "admin")
    again = await atelier_admin("users", "create", "ada@example.com")
    assert (again.status, again.out) == (1, "") and "there is an account" in again.err


async def test_a_new_password_replaces_the_old_one_and_ends_all_log_ins(
    api: World, atelier_admin: Admin
) -> None:
    ada = await api.person()
    password = await atelier_admin.done("users", "password", ada.email)
    problem(await ada.get("/v1/me"), 401, "invalid_token")
    assert (await api.log_in(ada.email, password))["access_token"]
    assert await audited(api) == [
        (ada.id, "user.created", ada.id),
        ("atelier-admin", "user.password", ada.id),
    ]


async def test_nobody_gets_in_to_a_disabled_account_until_it_is_enabled(
    api: World, atelier_admin: Admin
) -> None:
    ada = await api.person()
    key = await atelier_admin.done("keys", "create", ada.id, "laptop")
    headers = {"X-API-Key": key}
    assert (await api.http.get("/v1/me", headers=headers)).status_code == 200
    await atelier_admin.done("users", "disable", ada.email)

    problem(await api.http.get("/v1/me", headers=headers), 401, "invalid_token")
    problem(await ada.get("/v1/me"), 401, "invalid_token")
    form = {"username": ada.email, "password": "correct horse battery"}
    problem(await api.http.post("/v1/auth/token", data=form), 401, "wrong_credentials")
    refresh = {"refresh_token": ada.tokens["refresh_token"]}
    problem(await api.http.post("/v1/auth/refresh", json=refresh), 401, "invalid_token")
    (row,) = await atelier_admin.rows("users", "list", "--disabled")
    assert (row["id"], row["state"]) == (ada.id, "disabled")
    assert (await atelier_admin("users", "disable", ada.id)).status == 1

    await atelier_admin.done("users", "enable", ada.id)
    assert (await api.http.get("/v1/me", headers=headers)).status_code == 200
    assert (await api.log_in(ada.email))["access_token"]
    assert (await atelier_admin("users", "enable", ada.id)).status == 1
    assert [action for _, action, _ in await audited(api)][-2:] == ["user.disabled", "user.enabled"]


async def test_roles_and_log_ins(api: World, ada: Person, atelier_admin: Admin) -> None:
    problem(await ada.get("/v1/admin/queues"), 403, "scope_missing")
    await atelier_admin.done("users", "role", ada.email, "admin")
    assert (await ada.get("/v1/admin/queues")).status_code == 200
    await atelier_admin.done("users", "role", ada.email, "admin")  # changes nothing
    await atelier_admin.done("users", "revoke-sessions", ada.email)
    problem(await ada.get("/v1/me"), 401, "invalid_token")
    actions = [("user.role", ada.id), ("user.sessions_revoked", ada.id)]
    assert await audited(api) == [("atelier-admin", *action) for action in actions]


async def test_a_promotion_says_how_many_keys_it_revoked(
    api: World, root: Person, atelier_admin: Admin
) -> None:
    await root.post("/v1/api-keys", json={"name": "old", "scopes": ["admin"]})
    said = await atelier_admin.done("users", "role", root.email, "user")
    assert "keys" not in said
    said = await atelier_admin.done("users", "role", root.email, "support")
    assert "1 of its keys with the scope admin no longer work" in said


async def test_accounts_are_listed_and_shown(
    api: World, ada: Person, root: Person, atelier_admin: Admin
) -> None:
    table = (await atelier_admin.done("users", "list")).splitlines()
    assert table[0].split()[:4] == ["id", "email", "role", "plan"]
    assert {line.split()[0] for line in table[1:]} == {ada.id, root.id}
    assert "s ago)" in table[1] or "min ago)" in table[1]
    (row,) = await atelier_admin.rows("users", "list", "--role", "admin")
    assert (row["id"], row["balance"]) == (root.id, 10)
    (row,) = await atelier_admin.rows("users", "list", "--email", ada.email[:12].upper())
    assert row["id"] == ada.id
    await ada.post("/v1/jobs", json={"generator": "scribe", "input": {"text": "one"}})
    shown = (await atelier_admin("users", "show", ada.id, "--json")).json
    assert (shown["state"], shown["balance"], shown["held"]) == ("active", 7, 3)
    assert (shown["jobs"], shown["log_ins"]) == ({"queued": 1}, 1)


async def test_credits_are_given_with_a_reason_and_listed(
    api: World, ada: Person, atelier_admin: Admin
) -> None:
    said = await atelier_admin.done("grants", "give", ada.email, "1500", "--reason", "a lost film")
    assert said == f"{ada.email} now has 1,510 credits"
    await atelier_admin.done(
        "grants", "give", ada.id, "5", "--reason", "a trial", "--expires", "2999-01-31"
    )
    assert (await api.assert_adds_up(ada.id)) == (1515, 0)
    trial, film, _ = await atelier_admin.rows("grants", "list", "--user", ada.email)
    assert (film["credits"], film["reason"], film["expires"]) == (1500, "a lost film", None)
    assert (trial["left"], trial["expires"]) == (5, "2999-01-31T23:59:59.999999Z")
    assert await audited(api) == [("atelier-admin", "user.grant", ada.id)] * 2


async def test_keys_are_made_listed_and_ended(
    api: World, ada: Person, atelier_admin: Admin
) -> None:
    command = ("keys", "create", ada.email, "camera", "--scope", "jobs:read", "--cap", "70")
    made = (await atelier_admin(*command, "--json")).json
    headers = {"X-API-Key": made["key"]}
    assert (await api.http.get("/v1/jobs", headers=headers)).status_code == 200
    (row,) = await atelier_admin.rows("keys", "list", "--user", ada.id)
    assert (row["scopes"], row["cap"], row["state"]) == (["jobs:read"], 70, "active")
    assert row["ends_in"] == made["key"][-4:] and "key_hash" not in row
    await atelier_admin.done("keys", "revoke", made["id"])
    problem(await api.http.get("/v1/jobs", headers=headers), 401, "invalid_token")
    assert (await atelier_admin("keys", "revoke", made["id"])).status == 1
    assert await atelier_admin.rows("keys", "list", "--user", ada.id) == []
    assert len(await atelier_admin.rows("keys", "list", "--all")) == 1
    assert [action for _, action, _ in await audited(api)] == ["api_key.created", "api_key.revoked"]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("users", "create", "no address"), 2),
        (("users", "password", "nobody@example.com"), 1),
        (("users", "show", "usr_01ARZ3NDEKTSV4RRFFQ69G5FAV"), 1),
        (("grants", "give", "nobody@example.com", "5", "--reason", "x"), 1),
        (("grants", "give", "nobody@example.com", "0", "--reason", "x"), 2),
        (("grants", "give", "nobody@example.com", "5"), 2),
        (("keys", "revoke", "key_none"), 1),
        (("jobs", "show", "job_none"), 1),
    ],
)
async def test_what_is_not_there_is_refused(
    api: World, atelier_admin: Admin, command: tuple[str, ...], status: int
) -> None:
    said = await atelier_admin(*command)
    assert (said.status, said.out) == (status, "")
    assert said.err.strip() and "Traceback" not in said.err
    assert await audited(api) == []
