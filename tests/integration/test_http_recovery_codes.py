"""New recovery codes for who used the others up: what they take, and what ends with them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from db.accounts import recovery_codes, totp
from db.tables import AuditLog, RecoveryCode
from tests.support.http import PASSWORD, Person, World, problem
from tests.support.quick_passwords import hash_quickly
from tests.support.totp import STEP_S, App, Clock, enabled, enrol
from tests.support.waiting import until_locks_are_waited_for

PATH = "/v1/me/totp/recovery-codes"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def ada(api: World) -> Person:
    return await api.person()


@pytest.fixture
async def app(ada: Person, clock: Clock) -> App:
    return await enabled(ada, clock)


async def renew(person: Person, otp: str, password: str = PASSWORD) -> httpx.Response:
    return await person.post(PATH, json={"password": password, "otp": otp})


async def log_in(api: World, person: Person, otp: str) -> httpx.Response:
    form = {"username": person.email, "password": PASSWORD, "otp": otp}
    return await api.http.post("/v1/auth/token", data=form)


async def renewals(api: World) -> list[tuple[str, str, dict[str, Any]]]:
    query = select(AuditLog).where(AuditLog.action == "totp.recovery_codes_renewed")
    async with api.sessions() as session:
        return [(row.actor, row.subject, row.detail) for row in await session.scalars(query)]


async def left(person: Person) -> int:
    return int((await person.get("/v1/me/totp")).json()["recovery_codes_left"])


async def test_new_codes_take_the_place_of_the_old_ones(api: World, ada: Person, app: App) -> None:
    assert (await log_in(api, ada, app.recovery_codes[0])).status_code == 200
    assert await left(ada) == 9
    answer = await renew(ada, app.code())
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    codes = answer.json()["recovery_codes"]
    assert len(set(codes)) == 10 and not set(codes) & set(app.recovery_codes)
    assert await left(ada) == 10
    problem(await log_in(api, ada, app.recovery_codes[1]), 401, "invalid_otp")
    assert (await log_in(api, ada, codes[0])).status_code == 200
    assert await renewals(api) == [(ada.id, ada.id, {})]
    # The app is the same, and the code that was asked for is used up.
    problem(await log_in(api, ada, app.code()), 401, "invalid_otp")
    app.clock.now += STEP_S
    assert (await log_in(api, ada, app.code())).status_code == 200


async def test_the_last_recovery_code_gets_new_ones_and_is_used_up(
    api: World, ada: Person, app: App
) -> None:
    answer = await renew(ada, app.recovery_codes[0])
    assert answer.status_code == 200
    problem(await renew(ada, app.recovery_codes[0]), 401, "invalid_otp")
    assert await left(ada) == 10


async def test_nothing_is_new_without_the_password_and_a_right_code(
    api: World, ada: Person, app: App
) -> None:
    problem(await renew(ada, app.code(), "a guess of mine"), 401, "wrong_credentials")
    problem(await renew(ada, app.wrong_code()), 401, "invalid_otp")
    problem(await renew(ada, "aaaa-bbbb-cccc-dddd"), 401, "invalid_otp")
    problem(await renew(ada, ""), 401, "otp_required")
    assert await renewals(api) == []
    assert (await log_in(api, ada, app.recovery_codes[0])).status_code == 200


async def test_there_are_none_without_a_second_factor(
    api: World, ada: Person, clock: Clock
) -> None:
    problem(await renew(ada, "123456"), 404, "not_found")
    app = await enrol(ada, clock)
    problem(await renew(ada, app.code()), 404, "not_found")
    assert await api.count(RecoveryCode) == 0


async def test_wrong_codes_are_counted_as_at_a_log_in(ada: Person, app: App) -> None:
    answers = [await renew(ada, app.wrong_code()) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2


async def test_of_renewals_by_several_codes_at_once_one_wins(
    api: World, ada: Person, app: App
) -> None:
    """Each uses a code up that the others delete."""
    async with api.sessions.begin() as session:
        assert await totp.lock(session, ada.id)
        orders = [asyncio.create_task(renew(ada, code)) for code in app.recovery_codes[:3]]
        await until_locks_are_waited_for(api.sessions, 3)
    statuses = Counter([answer.status_code for answer in await asyncio.gather(*orders)])
    assert statuses == {200: 1, 401: 2}
    assert await api.count(RecoveryCode) == 10


async def test_a_factor_that_is_removed_meanwhile_leaves_no_codes(
    api: World, ada: Person, app: App
) -> None:
    async with api.sessions.begin() as session:
        assert await totp.remove(session, ada.id)
        order = asyncio.create_task(renew(ada, app.recovery_codes[0]))
        await until_locks_are_waited_for(api.sessions, 1)
        await recovery_codes.delete_of_user(session, ada.id)
    problem(await order, 401, "invalid_otp")
    assert await api.count(RecoveryCode) == 0
