"""Support, ops and administrators: what each may do, to whom, and how a role begins and ends."""

import asyncio
import secrets
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from db.jobs import dead_letters
from db.migrate import upgrade
from db.tables import ApiKey, AuditLog, Job
from serve_app.admin import users as accounts
from serve_app.admin.schemas import GrantBody, UserLimitsBody
from serve_app.auth.identity import Identity
from serve_app.http.errors import PermissionMissing
from tests.support.http import IDENTITIES_KEPT, Person, World, problem
from tests.support.migrations import downgrade


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 1000, **IDENTITIES_KEPT}


@pytest.fixture
async def support(api: World) -> Person:
    return await api.guest("support")


@pytest.fixture
async def ops(api: World) -> Person:
    return await api.guest("ops")


async def audited(api: World) -> list[tuple[str, str, str, dict[str, Any]]]:
    async with api.sessions() as session:
        rows = await session.scalars(select(AuditLog).order_by(AuditLog.id))
        return [(row.actor, row.action, row.subject, row.detail) for row in rows]


async def role_of(root: Person, who: Person) -> tuple[str, str]:
    account = (await root.get(f"/v1/admin/users/{who.id}")).json()
    return account["role"], account["state"]


async def test_support_freezes_a_user_and_lets_them_in_again(
    api: World, ada: Person, support: Person
) -> None:
    path = f"/v1/admin/users/{ada.id}"
    assert (await support.post(f"{path}/disable")).json()["state"] == "disabled"
    problem(await ada.get("/v1/me"), 401, "invalid_token")
    assert (await support.post(f"{path}/disable")).status_code == 200  # changes nothing
    listed = (await support.get("/v1/admin/users", params={"disabled": True})).json()["data"]
    assert [one["id"] for one in listed] == [ada.id]
    assert (await support.post(f"{path}/enable")).json()["state"] == "active"
    actions = [("user.disabled", ada.id, {}), ("user.enabled", ada.id, {})]
    assert await audited(api) == [(support.id, *action) for action in actions]


async def test_support_cannot_freeze_an_admin(
    api: World, support: Person, ops: Person, root: Person
) -> None:
    other = await api.guest("support")
    for who in (root, ops, other):
        for order in ("disable", "enable"):
            answer = await support.post(f"/v1/admin/users/{who.id}/{order}")
            assert problem(answer, 403, "permission_missing")["permission"] == "accounts.staff"
        assert (await who.get("/v1/me")).status_code == 200
    job_id = await root.job()
    for order in ("cancel", "retry"):
        answer = await support.post(f"/v1/admin/jobs/{job_id}/{order}")
        assert problem(answer, 403, "permission_missing")["permission"] == "accounts.staff"
    assert (await root.get(f"/v1/jobs/{job_id}")).json()["status"] == "queued"
    problem(await support.post(f"/v1/admin/users/{support.id}/disable"), 409, "own_account")
    assert await audited(api) == []


async def test_ops_cannot_grant(api: World, ada: Person, ops: Person, support: Person) -> None:
    grant = {"amount": 5, "reason": "a friend"}
    for who in (ops, support):
        for target in (ada, who):
            answer = await who.post(f"/v1/admin/users/{target.id}/grants", json=grant)
            said = problem(answer, 403, "permission_missing")
            assert said["permission"] == "credits.grant" and "credits.grant" in said["detail"]
            answer = await who.patch(f"/v1/admin/users/{target.id}", json={"plan": "pro"})
            problem(answer, 403, "permission_missing")
            answer = await who.put(f"/v1/admin/users/{target.id}/role", json={"role": "admin"})
            problem(answer, 403, "permission_missing")
    assert (await api.assert_adds_up(ada.id))[0] == 1000
    assert await audited(api) == []


@pytest.mark.parametrize(
    ("role", "expected"), [("support", [403, 403, 200, 403]), ("ops", [403, 403, 403, 200])]
)
async def test_a_demoted_admins_key_loses_its_powers_at_once(
    api: World, root: Person, role: str, expected: list[int]
) -> None:
    boss = await api.guest("admin")
    made = await boss.post("/v1/api-keys", json={"name": "boss", "scopes": ["admin"]})
    key = {"X-API-Key": made.json()["key"]}
    paths = ("/v1/admin/ledger.csv", "/v1/api-keys", "/v1/admin/users", "/v1/admin/queues")

    async def statuses() -> list[int]:
        return [(await api.http.get(path, headers=key)).status_code for path in paths]

    async def become(role: str) -> None:
        answer = await root.put(f"/v1/admin/users/{boss.id}/role", json={"role": role})
        assert answer.json()["role"] == role

    assert await statuses() == [200, 200, 200, 200]
    await become(role)
    assert await statuses() == expected
    await become("user")
    assert await statuses() == [403, 403, 403, 403]
    await become("admin")
    assert await statuses() == [401, 401, 401, 401]  # what was lost does not come back by itself


async def test_new_permissions_end_the_keys_with_the_scope_admin(
    api: World, support: Person, root: Person
) -> None:
    async def key(scope: str) -> dict[str, str]:
        made = await support.post("/v1/api-keys", json={"name": scope, "scopes": [scope]})
        return {"X-API-Key": made.json()["key"]}

    desk, reader = await key("admin"), await key("jobs:read")
    answer = await root.put(f"/v1/admin/users/{support.id}/role", json={"role": "ops"})
    assert answer.json()["role"] == "ops"
    problem(await api.http.get("/v1/admin/queues", headers=desk), 401, "invalid_token")
    assert (await api.http.get("/v1/jobs", headers=reader)).status_code == 200
    again = await key("admin")
    assert (await api.http.get("/v1/admin/queues", headers=again)).status_code == 200
    (row,) = [row for row in await audited(api) if row[1] == "user.role"]
    assert row[3] == {"before": "support", "role": "ops", "keys_revoked": 1}


async def test_a_key_of_staff_without_the_scope_has_no_powers(api: World, root: Person) -> None:
    made = await root.post("/v1/api-keys", json={"name": "reader", "scopes": ["jobs:read"]})
    answer = await api.http.get("/v1/admin/queues", headers={"X-API-Key": made.json()["key"]})
    said = problem(answer, 403, "scope_missing")
    assert said["permission"] == "queues.read" and "scope admin" in said["detail"]


async def test_a_key_of_support_cannot_make_keys_as_an_administrators_can(
    api: World, support: Person
) -> None:
    made = await support.post("/v1/api-keys", json={"name": "desk", "scopes": ["admin"]})
    key = {"X-API-Key": made.json()["key"]}
    assert (await api.http.get("/v1/admin/users", headers=key)).status_code == 200
    body = {"name": "more", "scopes": ["admin"]}
    problem(await api.http.post("/v1/api-keys", json=body, headers=key), 403, "scope_missing")
    assert await api.count(ApiKey, support.id) == 1


async def test_roles_are_changed_audited_and_never_ones_own(
    api: World, ada: Person, root: Person
) -> None:
    path = f"/v1/admin/users/{ada.id}/role"
    answers = await asyncio.gather(*(root.put(path, json={"role": "ops"}) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert await role_of(root, ada) == ("ops", "active")
    assert (await ada.get("/v1/me")).json()["role"] == "ops"
    problem(
        await root.put(f"/v1/admin/users/{root.id}/role", json={"role": "user"}), 409, "own_account"
    )
    problem(await root.put(path, json={"role": "chief"}), 422, "bad_input")
    nobody = "/v1/admin/users/usr_01J00000000000000000000000/role"
    problem(await root.put(nobody, json={"role": "ops"}), 404, "not_found")
    assert await role_of(root, root) == ("admin", "active")
    assert await audited(api) == [
        (root.id, "user.role", ada.id, {"before": "user", "role": "ops", "keys_revoked": 0})
    ]


async def test_support_stops_and_repeats_a_users_job(
    api: World, ada: Person, support: Person
) -> None:
    job_id = await ada.job()
    path = f"/v1/admin/jobs/{job_id}"
    problem(await support.post(f"{path}/retry"), 409, "job_not_final")
    assert (await support.post(f"{path}/cancel")).json()["status"] == "canceled"
    once = {"Idempotency-Key": "again"}
    first, second = [await support.post(f"{path}/retry", headers=once) for _ in range(2)]
    again = first.json()
    assert (first.status_code, again["status"], again["user_id"]) == (202, "queued", ada.id)
    assert second.json()["id"] == again["id"]
    assert second.headers["idempotent-replayed"] == "true"
    assert "input" not in again and "outputs" not in again
    assert await audited(api) == [
        (support.id, "job.canceled", job_id, {"was": "queued"}),
        (support.id, "job.retried", job_id, {"retried_as": again["id"]}),
    ]


async def test_an_owner_cannot_stand_in_for_a_retry_of_staff(
    api: World, ada: Person, support: Person
) -> None:
    job_id = await ada.job()
    await support.post(f"/v1/admin/jobs/{job_id}/cancel")
    ours = {"Idempotency-Key": f"{support.id}:again"}
    theirs = await ada.post(f"/v1/jobs/{job_id}/retry", headers=ours)
    assert theirs.status_code == 202
    ours = {"Idempotency-Key": f"{support.id} again"}  # as it is kept
    refused = await ada.post(f"/v1/jobs/{job_id}/retry", headers=ours)
    assert refused.status_code == 422, refused.text
    answer = await support.post(
        f"/v1/admin/jobs/{job_id}/retry", headers={"Idempotency-Key": "again"}
    )
    assert answer.status_code == 202 and "idempotent-replayed" not in answer.headers
    assert answer.json()["id"] != theirs.json()["id"]


async def test_a_dead_letter_of_staff_is_out_of_reach(
    api: World, ops: Person, root: Person
) -> None:
    job_id = await root.job()
    async with api.sessions.begin() as session:
        await dead_letters.add(session, await session.get_one(Job, job_id), "quarantined")
    (letter,) = (await ops.get("/v1/admin/dead-letters")).json()["data"]
    path = f"/v1/admin/dead-letters/{letter['id']}"
    for order in ("retry", "drop"):
        answer = await ops.post(f"{path}/{order}")
        assert problem(answer, 403, "permission_missing")["permission"] == "accounts.staff"
    assert (await ops.get(path)).json()["resolution"] is None
    assert await audited(api) == []
    assert (await root.post(f"{path}/drop")).json()["resolution"] == "dropped"


async def test_plans_and_credits_of_staff_are_out_of_reach_without_the_permission(
    api: World, root: Person
) -> None:
    # No role has the one permission without the other today; a new one might.
    staff = Identity("usr_01J00000000000000000000000", "support", "free", frozenset({"admin"}))
    with pytest.raises(PermissionMissing):
        await accounts.change(api.clients, staff, root.id, UserLimitsBody(plan="pro"))
    with pytest.raises(PermissionMissing):
        await accounts.grant(api.clients, staff, root.id, GrantBody(amount=5, reason="x"), "key")
    assert await audited(api) == []


async def test_what_a_customer_asked_is_for_administrators_alone(
    api: World, ada: Person, support: Person, ops: Person, root: Person
) -> None:
    job_id = await ada.job()
    async with api.sessions.begin() as session:
        await dead_letters.add(session, await session.get_one(Job, job_id), "quarantined")
    for who, visible in ((support, False), (ops, False), (root, True)):
        (letter,) = (await who.get("/v1/admin/dead-letters")).json()["data"]
        assert (letter["input"] is not None) == visible
        one = (await who.get(f"/v1/admin/dead-letters/{letter['id']}")).json()
        assert one == letter


async def test_accounts_are_listed_and_searched(
    api: World, ada: Person, support: Person, root: Person
) -> None:
    async def found(**filters: Any) -> list[str]:
        answer = await support.get("/v1/admin/users", params=filters)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["data"]]

    everybody = sorted((ada.id, support.id, root.id), reverse=True)
    assert await found() == everybody
    assert await found(email=ada.email[:20].upper()) == [ada.id]
    assert await found(email="%") == []
    assert await found(role="admin") == [root.id]
    page = (await support.get("/v1/admin/users", params={"limit": 2})).json()
    assert [one["id"] for one in page["data"]] == everybody[:2]
    assert await found(after=page["next"]) == everybody[2:]
    for wrong in ({"role": "chief"}, {"email": ""}, {"email": "a b"}, {"after": "x"}):
        problem(await support.get("/v1/admin/users", params=wrong), 422, "bad_input")


async def test_the_database_knows_the_four_roles(api: World, ada: Person) -> None:
    with pytest.raises(IntegrityError, match="role_known"):
        async with api.sessions.begin() as session:
            await session.execute(text("UPDATE users SET role = 'chief'"))


def test_the_way_down_makes_staff_users_again(database_url: str) -> None:
    name = f"roles_{secrets.token_hex(4)}"
    server = create_engine(database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    ours = server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        upgrade(ours)
        with create_engine(ours, poolclass=NullPool).begin() as connection:
            for role in ("user", "support", "ops", "admin"):
                connection.execute(
                    text(
                        "INSERT INTO users (id, email, password_hash, role)"
                        " VALUES (:role, :role || '@example.com', '', :role)"
                    ),
                    {"role": role},
                )
        downgrade(ours, "0027")
        with create_engine(ours, poolclass=NullPool).connect() as connection:
            rows = connection.execute(text("SELECT id, role FROM users")).all()
        assert {row.id: row.role for row in rows} == {
            "user": "user",
            "support": "user",
            "ops": "user",
            "admin": "admin",
        }
        upgrade(ours)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


async def test_ops_tell_users_of_an_incident(api: World, ops: Person, support: Person) -> None:
    path = "/v1/admin/incidents"
    problem(await support.post(path, json={"title": "x"}), 403, "permission_missing")
    for wrong in ({"title": "  "}, {"title": "x" * 201}, {"title": "x", "generator": "none"}):
        problem(await ops.post(path, json=wrong), 422, "bad_input")
    body = {"title": " Pictures wait longer ", "generator": "image"}
    opened = await ops.post(path, json=body)
    made = opened.json()
    assert (opened.status_code, made["title"], made["closed_at"]) == (
        201,
        "Pictures wait longer",
        None,
    )
    assert made["title"] in (await api.http.get("/status")).text
    one = f"{path}/{made['id']}"
    noted = (await ops.post(f"{one}/notes", json={"text": "A card is changed."})).json()
    assert [note["text"] for note in noted["notes"]] == ["A card is changed."]
    closed = [(await ops.post(f"{one}/close")).json() for _ in range(2)]
    assert closed[0]["closed_at"] and closed[0] == closed[1]
    assert (await ops.get(path)).json()["data"] == [closed[0]]
    for what, sent in (("notes", {"text": "x"}), ("close", {})):
        nothing = f"{path}/inc_01J00000000000000000000000/{what}"
        problem(await ops.post(nothing, json=sent), 404, "not_found")
    actions = [(who, action) for who, action, *_ in await audited(api)]
    assert actions == [(ops.id, f"incident.{what}") for what in ("opened", "noted", "closed")]


async def test_incidents_are_listed_in_pages(api: World, ops: Person) -> None:
    path = "/v1/admin/incidents"
    made = [(await ops.post(path, json={"title": f"No. {n}"})).json()["id"] for n in range(3)]
    first = (await ops.get(path, params={"limit": 2})).json()
    assert [one["id"] for one in first["data"]] == [made[2], made[1]]
    assert (first["has_more"], first["next"]) == (True, made[1])
    rest = (await ops.get(path, params={"limit": 2, "after": first["next"]})).json()
    assert [one["id"] for one in rest["data"]] == [made[0]]
    assert (rest["has_more"], rest["next"]) == (False, None)
