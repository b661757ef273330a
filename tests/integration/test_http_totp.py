"""A second factor by an app that shows codes: what it asks for, and what does not get past it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import func, select, update

from db.accounts import totp
from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import AuditLog, RecoveryCode, TotpFactor
from serve_app.auth.api_keys import ALL_SCOPES, create_api_key
from tests.support.admin_command import Admin
from tests.support.http import PASSWORD, Person, World, problem, without_redis, world
from tests.support.quick_passwords import hash_quickly
from tests.support.totp import STEP_S, App, Clock, enabled, enrol

WRONG_PASSWORD = "a guess of mine"


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


async def log_in(
    api: World, person: Person, otp: str | None = None, password: str = PASSWORD, network: int = 1
) -> httpx.Response:
    form = {"username": person.email, "password": password} | ({"otp": otp} if otp else {})
    headers = {"X-Forwarded-For": f"192.0.2.{network}"}
    return await api.http.post("/v1/auth/token", data=form, headers=headers)


async def audited(api: World, action: str) -> list[tuple[str, dict[str, object]]]:
    query = select(AuditLog).where(AuditLog.action == action).order_by(AuditLog.id)
    async with api.sessions() as session:
        return [(row.subject, row.detail) for row in await session.scalars(query)]


async def factor(api: World, person: Person) -> TotpFactor:
    async with api.sessions() as session:
        return await session.get_one(TotpFactor, person.id)


async def test_enrolling_gives_a_secret_for_an_app_and_ten_recovery_codes(
    api: World, ada: Person, clock: Clock
) -> None:
    answer = await ada.post("/v1/me/totp", json={"password": PASSWORD})
    secret, uri = answer.json()["secret"], urlsplit(answer.json()["otpauth_uri"])
    assert answer.headers["cache-control"] == "no-store"
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert ada.email.replace("@", "%40") in uri.path and parse_qs(uri.query)["secret"] == [secret]
    shown = (await ada.get("/v1/me/totp")).json()
    assert (shown["enabled"], shown["recovery_codes_left"]) == (False, 0)
    confirmed = await ada.post("/v1/me/totp/confirm", json={"code": App(secret, clock).code()})
    assert confirmed.headers["cache-control"] == "no-store"
    assert len(set(confirmed.json()["recovery_codes"])) == 10
    shown = (await ada.get("/v1/me/totp")).json()
    assert (shown["enabled"], shown["recovery_codes_left"]) == (True, 10)
    assert await audited(api, "totp.enabled") == [(ada.id, {})]
    # Neither again, nor over it.
    problem(await ada.post("/v1/me/totp", json={"password": PASSWORD}), 409, "totp_enabled")
    again = await ada.post("/v1/me/totp/confirm", json={"code": App(secret, clock).code(1)})
    problem(again, 409, "totp_enabled")


async def test_neither_secret_nor_codes_can_be_read_in_postgres(
    api: World, ada: Person, app: App
) -> None:
    kept = (await factor(api, ada)).sealed_secret
    assert app.secret.encode() not in kept and len(kept) > len(app.secret)
    async with api.sessions() as session:
        hashes = (await session.scalars(select(RecoveryCode.code_hash))).all()
    assert len(hashes) == 10 and not set(hashes) & set(app.recovery_codes)


async def test_a_sealed_secret_is_of_no_use_with_another_user(
    api: World, ada: Person, app: App
) -> None:
    eve = await api.person()
    sealed = (await factor(api, ada)).sealed_secret
    async with api.sessions.begin() as session:
        session.add(TotpFactor(user_id=eve.id, sealed_secret=sealed, confirmed_at=func.now()))
    problem(await log_in(api, eve, app.code()), 401, "invalid_otp")


async def test_enabling_needs_the_password(api: World, ada: Person) -> None:
    answer = await ada.post("/v1/me/totp", json={"password": WRONG_PASSWORD})
    problem(answer, 401, "wrong_credentials")
    assert await api.count(TotpFactor) == 0
    problem(await ada.post("/v1/me/totp/confirm", json={"code": "123456"}), 404, "not_found")


async def test_a_factor_that_is_not_confirmed_locks_nobody_out(
    api: World, ada: Person, clock: Clock
) -> None:
    first = await enrol(ada, clock)
    second = await enrol(ada, clock)
    answer = await ada.post("/v1/me/totp/confirm", json={"code": first.code()})
    problem(answer, 401, "invalid_otp")
    assert (await log_in(api, ada)).status_code == 200
    removal = {"password": PASSWORD, "otp": second.code()}
    problem(await ada.delete("/v1/me/totp", json=removal), 404, "not_found")


async def test_a_log_in_needs_the_code_and_only_the_right_password_learns_of_it(
    api: World, ada: Person, app: App
) -> None:
    for otp in (None, app.code(), app.wrong_code(), app.recovery_codes[0]):
        answer = await log_in(api, ada, otp, WRONG_PASSWORD)
        problem(answer, 401, "wrong_credentials")
    problem(await log_in(api, ada), 401, "otp_required")
    problem(await log_in(api, ada, app.wrong_code()), 401, "invalid_otp")
    shown = app.code()
    assert (await log_in(api, ada, f"{shown[:3]} {shown[3:]}")).status_code == 200


async def test_a_code_works_in_its_step_and_those_beside_it_and_only_forwards(
    api: World, ada: Person, app: App, clock: Clock
) -> None:
    clock.now += 10 * STEP_S
    for steps in (-2, 2):
        problem(await log_in(api, ada, app.code(steps)), 401, "invalid_otp")
    assert (await log_in(api, ada, app.code(-1))).status_code == 200
    assert (await log_in(api, ada, app.code(1))).status_code == 200
    problem(await log_in(api, ada, app.code(0)), 401, "invalid_otp")


async def test_a_code_is_taken_once(api: World, ada: Person, app: App, clock: Clock) -> None:
    code = app.code()
    assert (await log_in(api, ada, code)).status_code == 200
    problem(await log_in(api, ada, code), 401, "invalid_otp")
    # That of the confirmation is a used one, too.
    clock.now += 60 * STEP_S
    other = await api.person()
    mine = await enrol(other, clock)
    assert (await other.post("/v1/me/totp/confirm", json={"code": mine.code()})).status_code == 200
    problem(await log_in(api, other, mine.code()), 401, "invalid_otp")


async def test_of_eight_log_ins_with_one_code_at_the_same_moment_one_wins(
    api: World, ada: Person, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone_in_each_process(monkeypatch)
    monkeypatch.setattr("db.accounts.totp.FREE_GUESSES", 100)
    code = app.code()
    answers = await asyncio.gather(*(log_in(api, ada, code, network=n) for n in range(1, 9)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 7}


async def test_guesses_at_the_same_moment_are_all_counted(
    api: World, ada: Person, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone_in_each_process(monkeypatch)
    answers = await asyncio.gather(
        *(log_in(api, ada, app.wrong_code(), network=n) for n in range(1, 21))
    )
    assert Counter(answer.status_code for answer in answers) == {401: 10, 429: 10}
    problem(await log_in(api, ada, app.code()), 429, "rate_limited")


async def test_wrong_codes_block_the_app_for_longer_and_longer(
    api: World, ada: Person, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone_in_each_process(monkeypatch)
    for _ in range(10):
        problem(await log_in(api, ada, app.wrong_code()), 401, "invalid_otp")
    assert await audited(api, "totp.guessed") == [(ada.id, {})]
    waits = []
    for _ in range(13):
        refused = await log_in(api, ada, app.code())
        problem(refused, 429, "rate_limited")
        waits.append(round(int(refused.headers["retry-after"]) / 60))
        await unblock(api)
        problem(await log_in(api, ada, app.wrong_code()), 401, "invalid_otp")
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440]
    await unblock(api)
    assert (await log_in(api, ada, app.code())).status_code == 200
    assert (await factor(api, ada)).failures == 0


async def test_the_password_without_a_code_forgets_no_guesses(
    api: World, ada: Person, app: App
) -> None:
    for _ in range(10):
        problem(await log_in(api, ada), 401, "otp_required")
        problem(await log_in(api, ada, app.wrong_code()), 401, "invalid_otp")
    # Both counts are full: that of failed attempts, and that of the app.
    problem(await log_in(api, ada, network=2), 429, "rate_limited")
    assert (await factor(api, ada)).failures == 10


async def test_guesses_are_counted_without_redis_whatever_process_takes_them(
    quick_to_give_up: None,
    sessions: Sessions,
    objects: ObjectStore,
    store_settings: StoreSettings,
    clock: Clock,
) -> None:
    answers = []
    with without_redis(store_settings) as stores:
        async with world(stores) as api:
            ada = await api.person()
            app = await enabled(ada, clock)
        for process in range(3):  # each begins with no failed attempts in its memory
            async with world(stores) as api:
                for number in range(5):
                    network = 10 * process + number
                    answers.append(await log_in(api, ada, app.wrong_code(), network=network))
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 5


async def test_a_recovery_code_works_once_also_while_the_app_is_blocked(
    api: World, ada: Person, app: App
) -> None:
    async with api.sessions.begin() as session:
        later = datetime.now(UTC) + timedelta(days=1)
        await session.execute(update(TotpFactor).values(blocked_until=later, failures=30))
    first, second = app.recovery_codes[:2]
    assert (await log_in(api, ada, first)).status_code == 200
    problem(await log_in(api, ada, first), 401, "invalid_otp")
    assert (await log_in(api, ada, second.replace("-", "").upper())).status_code == 200
    problem(await log_in(api, ada, "aaaa-bbbb-cccc-dddd"), 401, "invalid_otp")
    assert (await ada.get("/v1/me/totp")).json()["recovery_codes_left"] == 8
    assert await audited(api, "totp.recovery_code") == [
        (ada.id, {"left": 9}),
        (ada.id, {"left": 8}),
    ]
    eve = await api.person()
    await enabled(eve, app.clock)
    problem(await log_in(api, eve, app.recovery_codes[3]), 401, "invalid_otp")


async def test_of_log_ins_with_one_recovery_code_at_the_same_moment_one_wins(
    api: World, ada: Person, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone_in_each_process(monkeypatch)
    code = app.recovery_codes[0]
    answers = await asyncio.gather(*(log_in(api, ada, code, network=n) for n in range(1, 9)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 7}


async def test_removing_takes_the_password_and_a_code(api: World, ada: Person, app: App) -> None:
    wrong = {"password": WRONG_PASSWORD, "otp": app.code()}
    problem(await ada.delete("/v1/me/totp", json=wrong), 401, "wrong_credentials")
    wrong = {"password": PASSWORD, "otp": app.wrong_code()}
    problem(await ada.delete("/v1/me/totp", json=wrong), 401, "invalid_otp")
    problem(await log_in(api, ada), 401, "otp_required")
    right = {"password": PASSWORD, "otp": app.code()}
    assert (await ada.delete("/v1/me/totp", json=right)).status_code == 204
    assert (await log_in(api, ada)).status_code == 200
    assert await audited(api, "totp.removed") == [(ada.id, {"by": "login"})]
    assert await api.count(RecoveryCode) == 0


async def test_a_recovery_code_removes_as_well(api: World, ada: Person, app: App) -> None:
    body = {"password": PASSWORD, "otp": app.recovery_codes[0]}
    assert (await ada.delete("/v1/me/totp", json=body)).status_code == 204
    assert (await log_in(api, ada)).status_code == 200


async def test_the_password_does_not_reset_the_guesses_at_a_removal(
    api: World, ada: Person, app: App
) -> None:
    body = {"password": PASSWORD, "otp": app.wrong_code()}
    answers = [await ada.delete("/v1/me/totp", json=body) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2


async def test_no_key_manages_the_factor_not_even_an_administrators(
    api: World, root: Person
) -> None:
    async with api.sessions.begin() as session:
        _, key = await create_api_key(session, root.id, "all", ALL_SCOPES)
    headers = {"X-API-Key": key}
    calls = (("GET", ""), ("POST", ""), ("POST", "/confirm"), ("DELETE", ""))
    calls += (("POST", "/recovery-codes"),)
    for method, path in calls:
        body = {} if method == "GET" else {"json": {}}
        answer = await api.http.request(method, f"/v1/me/totp{path}", headers=headers, **body)
        problem(answer, 403, "scope_missing")


async def test_keys_refresh_tokens_and_log_ins_go_on(api: World, ada: Person, clock: Clock) -> None:
    key = (await ada.post("/v1/api-keys", json={"name": "laptop"})).json()["key"]
    await enabled(ada, clock)
    assert (await ada.get("/v1/me")).status_code == 200
    assert (await api.http.get("/v1/me", headers={"X-API-Key": key})).status_code == 200
    refresh = {"refresh_token": ada.tokens["refresh_token"]}
    assert (await api.http.post("/v1/auth/refresh", json=refresh)).status_code == 200


async def test_the_token_of_a_device_is_no_second_factor(api: World, ada: Person, app: App) -> None:
    form = {"username": ada.email, "password": PASSWORD}
    form |= {"device_token": ada.tokens["device_token"]}
    problem(await api.http.post("/v1/auth/token", data=form), 401, "otp_required")
    form |= {"otp": app.code()}
    assert (await api.http.post("/v1/auth/token", data=form)).status_code == 200


async def test_an_operator_removes_the_factor_of_a_lost_phone(
    api: World, ada: Person, app: App, atelier_admin: Admin
) -> None:
    shown = (await atelier_admin("users", "show", ada.id, "--json")).json
    assert shown["second_factor"] is True
    await atelier_admin.done("users", "remove-second-factor", ada.email)
    assert (await log_in(api, ada)).status_code == 200
    assert await api.count(RecoveryCode) == 0
    assert await audited(api, "totp.removed") == [(ada.id, {"by": "command", "passkeys": 0})]
    assert (await atelier_admin("users", "remove-second-factor", ada.email)).status == 1


async def test_a_secret_that_cannot_be_read_leaves_the_recovery_codes(
    api: World, ada: Person, app: App
) -> None:
    """As after a change of JWT_SECRET without TOTP_KEY."""
    async with api.sessions.begin() as session:
        await session.execute(update(TotpFactor).values(sealed_secret=b"0" * 60))
    problem(await log_in(api, ada, app.code()), 401, "invalid_otp")
    assert (await log_in(api, ada, app.recovery_codes[0])).status_code == 200


async def test_codes_that_were_sent_while_the_key_was_another_block_nobody(
    api: World, ada: Person, app: App
) -> None:
    right = (await factor(api, ada)).sealed_secret
    async with api.sessions.begin() as session:
        await session.execute(update(TotpFactor).values(sealed_secret=b"0" * 60, failures=9))
    for number in range(3):
        problem(await log_in(api, ada, app.code(), network=number + 1), 401, "invalid_otp")
    assert (await factor(api, ada)).failures == 9, "nor are guesses forgotten"
    async with api.sessions.begin() as session:
        await session.execute(update(TotpFactor).values(sealed_secret=right))
    assert (await log_in(api, ada, app.code())).status_code == 200


def alone_in_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt waits for another or for failed ones, as if each were at a process of its own."""

    @asynccontextmanager
    async def attempt(*_: object) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr("serve_app.auth.failed_attempts.FailedAttempts.attempt", attempt)


async def unblock(api: World) -> None:
    async with api.sessions.begin() as session:
        await session.execute(update(TotpFactor).values(blocked_until=None))


def test_the_bound_leaves_no_hope_of_a_guess() -> None:
    """Some 400 guesses a year, at three codes of a million."""
    minutes, guesses = 0, totp.FREE_GUESSES
    while minutes < 365 * 24 * 60:
        minutes += min(1 << (guesses - totp.FREE_GUESSES), 24 * 60)
        guesses += 1
    assert guesses * 3 / 10**6 < 0.002
