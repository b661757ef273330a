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
from tests.support.http import Person, World, problem
from tests.support.migrations import downgrade


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
