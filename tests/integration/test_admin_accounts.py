"""Accounts and passwords that administrators make, at the command line."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from db.tables import AuditLog
from scripts.admin import main
from tests.support.http import World, problem
from tests.support.quick_passwords import hash_quickly


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[None]:
    hash_quickly(monkeypatch)
    monkeypatch.setenv("DATABASE_URL", database_url)
    yield


async def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    await asyncio.to_thread(main, arguments)
    return capsys.readouterr().out.strip()


async def test_an_administrator_makes_an_account_that_can_log_in(
    api: World, capsys: pytest.CaptureFixture[str]
) -> None:
    password = await printed(capsys, "add", "Ada@example.com", "--role", "admin")
    token = (await api.log_in("ada@example.com", password))["access_token"]
    me = await api.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert (me.json()["email"], me.json()["role"]) == ("ada@example.com", "admin")
    with pytest.raises(SystemExit, match="there is an account"):
        await printed(capsys, "add", "ada@example.com")


async def test_a_new_password_replaces_the_old_one_and_ends_all_log_ins(
    api: World, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = await api.person()
    password = await printed(capsys, "password", ada.email)
    problem(await ada.get("/v1/me"), 401, "invalid_token")
    assert (await api.log_in(ada.email, password))["access_token"]
    async with api.sessions() as session:
        rows = (await session.execute(select(AuditLog.action, AuditLog.subject))).all()
    assert [tuple(row) for row in rows] == [("user.created", ada.id), ("user.password", ada.id)]


@pytest.mark.parametrize("command", [("add", "no address"), ("password", "nobody@example.com")])
async def test_what_is_no_account_is_refused(
    api: World, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit):
        await printed(capsys, *command)
