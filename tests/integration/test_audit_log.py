"""The audit log only grows, its rows are chained by hashes, and it has what was changed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from db.accounts import account_tokens
from db.operations import audit_chain, audit_log
from db.operations.audit_chain import ChainReport
from db.session import Sessions
from db.tables import AuditLog
from scripts.dev.demo_accounts import demo_accounts
from tests.support.admin_command import Admin
from tests.support.http import PASSWORD, Person, World, problem


async def write(sessions: Sessions, *subjects: str) -> None:
    """One transaction with a row for each."""
    async with sessions.begin() as session:
        for subject in subjects:
            await audit_log.write(
                session, actor="usr_a", action="user.grant", subject=subject, detail={"n": 1.50}
            )


async def check(sessions: Sessions, seen: str = "") -> ChainReport:
    async with sessions() as session:
        return await audit_chain.check(session, seen)


async def tamper(sessions: Sessions, statement: str) -> None:
    """What somebody with all rights in the database may do."""
    async with sessions.begin() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        await session.execute(text(statement))


async def test_writers_at_once_make_one_chain(sessions: Sessions) -> None:
    writers = 12
    await asyncio.gather(*(write(sessions, f"a{n}", f"b{n}", f"c{n}") for n in range(writers)))
    async with sessions() as session:
        rows = (await session.scalars(select(AuditLog).order_by(AuditLog.id))).all()
    assert [row.id for row in rows] == list(range(1, 3 * writers + 1))
    moments = [row.created_at for row in rows]
    assert moments == sorted(moments)
    assert len({row.hash for row in rows}) == len(rows)
    report = await check(sessions)
    assert report == ChainReport(3 * writers, rows[-1].hash, None, True)


async def test_a_transaction_that_is_rolled_back_leaves_no_gap(sessions: Sessions) -> None:
    await write(sessions, "a")
    with pytest.raises(RuntimeError):
        async with sessions.begin() as session:
            await audit_log.write(session, actor="usr_a", action="user.grant", subject="b")
            raise RuntimeError
    await write(sessions, "c")
    async with sessions() as session:
        assert (await session.scalars(select(AuditLog.id).order_by(AuditLog.id))).all() == [1, 2]
    assert (await check(sessions)).broken_id is None


async def test_number_moment_and_hash_are_not_the_writers(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO audit_log (id, actor, action, subject, created_at, hash)"
                " VALUES (7, 'a', 'b', 'c', '2020-01-01', 'mine')"
            )
        )
        row = (await session.scalars(select(AuditLog))).one()
    assert row.id == 1 and len(row.hash) == 64
    assert datetime.now(UTC) - row.created_at < timedelta(hours=1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'usr_b'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE id = 0",
        "TRUNCATE audit_log",
    ],
)
async def test_no_row_is_changed_or_deleted(sessions: Sessions, statement: str) -> None:
    await write(sessions, "a")
    with pytest.raises(IntegrityError, match="append-only"):
        async with sessions.begin() as session:
            await session.execute(text(statement))
    assert (await check(sessions)).rows == 1


@pytest.mark.parametrize(
    ("statement", "broken_id"),
    [
        ("UPDATE audit_log SET subject = 'x' WHERE id = 2", 2),
        ("UPDATE audit_log SET detail = '{\"n\": 1.50}' WHERE id = 2", 2),
        ("UPDATE audit_log SET actor = 'usr_', action = 'auser.grant' WHERE id = 2", 2),
        ("UPDATE audit_log SET created_at = created_at + interval '1 microsecond' WHERE id = 2", 2),
        ("UPDATE audit_log SET id = 9 WHERE id = 4", 9),
        ("DELETE FROM audit_log WHERE id = 2", 3),
        ("DELETE FROM audit_log WHERE id = 1", 2),
    ],
)
async def test_the_first_row_that_does_not_fit_is_named(
    sessions: Sessions, statement: str, broken_id: int
) -> None:
    await write(sessions, "a", "b", "c", "d")
    await tamper(sessions, statement)
    assert (await check(sessions)).broken_id == broken_id


async def test_a_hash_kept_elsewhere_shows_that_the_last_rows_are_gone(sessions: Sessions) -> None:
    await write(sessions, "a", "b")
    seen = (await check(sessions)).head
    await write(sessions, "c")
    assert (await check(sessions, seen)).has_seen
    await tamper(sessions, "DELETE FROM audit_log WHERE id >= 2")
    await write(sessions, "d", "e")
    report = await check(sessions, seen)
    assert (report.broken_id, report.has_seen) == (None, False)


async def test_the_command_says_what_is_wrong(
    sessions: Sessions,
    atelier_admin: Admin,
) -> None:
    await write(sessions, "a", "b", "c")
    told = await atelier_admin.done("audit", "verify")
    assert told.startswith("3 rows")
    seen = told.split()[-1]
    await atelier_admin.done("audit", "verify", "--seen", seen)
    lost = await atelier_admin("audit", "verify", "--seen", "0" * 64)
    assert lost.status == 1 and "no row has the hash" in lost.out
    (row,) = await atelier_admin.rows("audit", "list", "--subject", "b")
    assert (row["actor"], row["detail"]) == ("usr_a", {"n": 1.5})
    await tamper(sessions, "UPDATE audit_log SET actor = 'usr_b' WHERE id = 2")
    broken = await atelier_admin("audit", "verify")
    assert broken.status == 1 and "row 2 does not follow from the 1 before it" in broken.out
    assert (await atelier_admin("audit", "verify", "--json")).json["broken_id"] == 2


async def entries(root: Person, **filters: Any) -> list[dict[str, Any]]:
    answer = await root.get("/v1/admin/audit-log", params=filters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_administrators_read_it_in_pages_and_by_filters(api: World, root: Person) -> None:
    for n in range(5):
        await write(api.sessions, f"usr_{n}")
    async with api.sessions.begin() as session:
        await audit_log.write(session, actor=root.id, action="user.limits", subject="usr_1")
    first = (await root.get("/v1/admin/audit-log", params={"limit": 2})).json()
    assert [one["id"] for one in first["data"]] == ["6", "5"]
    assert (first["has_more"], first["next"]) == (True, "5")
    rest = (await root.get("/v1/admin/audit-log", params={"after": first["next"]})).json()
    assert [one["id"] for one in rest["data"]] == ["4", "3", "2", "1"]
    assert (rest["has_more"], rest["next"]) == (False, None)
    assert [one["id"] for one in await entries(root, subject="usr_1")] == ["6", "2"]
    assert [one["id"] for one in await entries(root, actor=root.id)] == ["6"]
    (limits,) = await entries(root, action="user.limits")
    assert (limits["detail"], limits["subject"]) == ({}, "usr_1")
    third = rest["data"][1]
    assert (third["id"], third["detail"]) == ("3", {"n": 1.5})
    since, until = third["created_at"], first["data"][1]["created_at"]
    between = await entries(root, created_after=since, created_before=until)
    assert [one["id"] for one in between] == ["4", "3"]
    for wrong in ({"after": "usr_1"}, {"actor": "a b"}, {"created_after": "yesterday"}):
        answer = await root.get("/v1/admin/audit-log", params=wrong)
        problem(answer, 422, "bad_input")


async def test_what_people_change_of_accounts_and_keys_is_written(api: World, root: Person) -> None:
    mine = await api.person()
    made = (await mine.post("/v1/api-keys", json={"name": "laptop", "monthly_cap": 5})).json()
    for changes in ({"name": "tower"}, {"monthly_cap": 9}):
        assert (await mine.patch(f"/v1/api-keys/{made['id']}", json=changes)).status_code == 200
    assert (await mine.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    new = {"current_password": PASSWORD, "password": "another horse entirely"}
    assert (await mine.put("/v1/me/password", json=new)).status_code == 204
    written = [(one["action"], one["subject"], one["detail"]) for one in await entries(root)]
    assert {one["actor"] for one in await entries(root)} == {mine.id}
    scopes = ["jobs:write", "jobs:read"]
    assert written[::-1] == [
        ("user.created", mine.id, {"by": "registration"}),
        (
            "api_key.created",
            made["id"],
            {"scopes": scopes, "monthly_cap": 5, "expires_at": None},
        ),
        ("api_key.limits", made["id"], {"monthly_cap": 9}),
        ("api_key.revoked", made["id"], {}),
        ("user.password", mine.id, {"by": "login"}),
    ]


async def test_a_replayed_request_and_a_refused_one_write_nothing(
    api: World, ada: Person, root: Person
) -> None:
    again = {"Idempotency-Key": "once"}
    for _ in range(2):
        await ada.post("/v1/api-keys", json={"name": "a"}, headers=again)
    wrong = {"current_password": "guess", "password": "another horse entirely"}
    await ada.put("/v1/me/password", json=wrong)
    await ada.delete("/v1/api-keys/key_01M8JGYQM20SBSA0T7WYZNF4Z3")
    assert [one["action"] for one in await entries(root)] == ["api_key.created"]


async def test_what_the_first_run_makes_is_written(sessions: Sessions, database_url: str) -> None:
    await demo_accounts(database_url)
    await demo_accounts(database_url)
    async with sessions() as session:
        rows = (await session.scalars(select(AuditLog).order_by(AuditLog.id))).all()
    assert [row.action for row in rows] == [
        *("user.created", "api_key.created") * 2,
        *("api_key.revoked", "api_key.created") * 2,
    ]


@pytest.mark.parametrize(
    "api_settings", [{"MAIL_URL": "smtp://127.0.0.1:1", "MAIL_FROM": "a@b.example"}]
)
async def test_a_password_that_is_set_by_mail_is_written(api: World, root: Person) -> None:
    mine = await api.person()
    async with api.sessions.begin() as session:
        token = await account_tokens.issue(session, mine.id, "reset")
    body = {"token": token, "password": "another horse entirely"}
    answer = await api.http.post("/v1/auth/password-reset/confirm", json=body)
    assert answer.status_code == 200, answer.text
    (entry,) = await entries(root, action="user.password")
    assert (entry["actor"], entry["subject"], entry["detail"]) == (mine.id, mine.id, {"by": "mail"})
