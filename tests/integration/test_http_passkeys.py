"""Passkeys: registered, used to log in, removed; and everything that is no such log-in."""

import asyncio
import dataclasses
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy import func, select, update

from db.accounts import passkeys
from db.object_store import ObjectStore
from db.redis import challenges
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import AuditLog, Passkey, User
from serve_app.auth.api_keys import ALL_SCOPES, create_api_key
from serve_app.settings import AuthSettings
from tests.support.admin_command import Admin
from tests.support.authenticator import Authenticator, to_bytes, to_text
from tests.support.http import PASSWORD, SECRET, Person, World, problem, without_redis, world
from tests.support.quick_passwords import hash_quickly
from tests.support.totp import Clock, enabled

HOST = "atelier.example"
ORIGIN = f"https://{HOST}"
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, str]:
    return {"PUBLIC_URL": f"{ORIGIN}/", "PASSKEY_ORIGINS": f"https://app.{HOST}"}


@pytest.fixture
async def ada(api: World) -> Person:
    return await api.person()


@pytest.fixture
async def phone(ada: Person) -> Authenticator:
    return await registered(ada)


async def options_for(person: Person) -> Json:
    answer = await person.post("/v1/me/passkeys/options", json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["public_key"]
    return found


async def register(person: Person, credential: Json, name: str = "phone") -> httpx.Response:
    return await person.post("/v1/me/passkeys", json={"name": name, "credential": credential})


async def registered(person: Person, **how: Any) -> Authenticator:
    device = Authenticator(ORIGIN, **how)
    answer = await register(person, device.create(await options_for(person)))
    assert answer.status_code == 201, answer.text
    return device


async def login_options(api: World) -> Json:
    answer = await api.http.post("/v1/auth/passkeys/options")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["public_key"]
    return found


async def log_in(api: World, credential: Json, network: int = 1) -> httpx.Response:
    headers = {"X-Forwarded-For": f"192.0.2.{network}"}
    body = {"credential": credential}
    return await api.http.post("/v1/auth/passkeys/token", json=body, headers=headers)


async def test_a_passkey_is_registered_and_logs_in(api: World, ada: Person) -> None:
    options = await options_for(ada)
    assert options["rp"]["id"] == HOST
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    device = Authenticator(ORIGIN)
    made = (await register(ada, device.create(options), "my phone")).json()
    assert made["id"].startswith("psk_") and made["name"] == "my phone"
    asked = await login_options(api)
    assert (asked["rpId"], asked["userVerification"]) == (HOST, "required")
    assert asked["allowCredentials"] == []
    answer = await log_in(api, device.get(asked))
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    me = await api.http.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.json()["id"] == ada.id
    renewed = {"refresh_token": tokens["refresh_token"]}
    assert (await api.http.post("/v1/auth/refresh", json=renewed)).status_code == 200
    (listed,) = (await ada.get("/v1/me/passkeys")).json()["data"]
    assert listed["id"] == made["id"] and listed["last_used_at"]
    excluded = (await options_for(ada))["excludeCredentials"]
    assert [to_bytes(one["id"]) for one in excluded] == [device.credential_id]


async def test_it_is_both_factors_and_changes_nothing_for_passwords(
    api: World, ada: Person, phone: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enabled(ada, Clock(monkeypatch))
    assert (await log_in(api, phone.get(await login_options(api)))).status_code == 200
    form = {"username": ada.email, "password": PASSWORD}
    problem(await api.http.post("/v1/auth/token", data=form), 401, "otp_required")


async def test_registering_needs_the_password(api: World, ada: Person) -> None:
    answer = await ada.post("/v1/me/passkeys/options", json={"password": "a guess of mine"})
    problem(answer, 401, "wrong_credentials")


async def test_a_page_of_another_origin_gets_nothing(
    api: World, ada: Person, phone: Authenticator
) -> None:
    for origin in ("https://evil.example", f"http://{HOST}", f"{ORIGIN}:8443", f"https://x.{HOST}"):
        elsewhere = dataclasses.replace(phone, origin=origin)
        problem(await log_in(api, elsewhere.get(await login_options(api))), 401, "invalid_passkey")
        other = Authenticator(origin)
        answer = await register(ada, other.create(await options_for(ada)))
        problem(answer, 401, "invalid_passkey")
    inside = dataclasses.replace(phone, origin=f"https://app.{HOST}")
    assert (await log_in(api, inside.get(await login_options(api)))).status_code == 200
    framed = phone.get(await login_options(api), crossOrigin=True)
    problem(await log_in(api, framed), 401, "invalid_passkey")


async def test_a_credential_of_another_host_is_refused(
    api: World, ada: Person, phone: Authenticator
) -> None:
    answer = phone.get(await login_options(api), rp_id="evil.example")
    problem(await log_in(api, answer), 401, "invalid_passkey")
    made = Authenticator(ORIGIN).create(await options_for(ada), rp_id="evil.example")
    problem(await register(ada, made), 401, "invalid_passkey")


async def test_a_challenge_is_used_once(api: World, ada: Person, phone: Authenticator) -> None:
    answer = phone.get(await login_options(api))
    assert (await log_in(api, answer)).status_code == 200
    problem(await log_in(api, answer), 401, "invalid_passkey")
    made = Authenticator(ORIGIN).create(await options_for(ada))
    assert (await register(ada, made)).status_code == 201
    problem(await register(ada, made), 401, "invalid_passkey")


async def test_of_log_ins_with_one_challenge_at_the_same_moment_one_wins(
    api: World, phone: Authenticator
) -> None:
    answer = phone.get(await login_options(api))
    answers = await asyncio.gather(*(log_in(api, answer, network=n) for n in range(1, 9)))
    assert Counter(one.status_code for one in answers) == {200: 1, 401: 7}


async def test_a_challenge_is_for_one_use_of_one_user(
    api: World, ada: Person, phone: Authenticator, redis: Redis
) -> None:
    eve = await api.person()
    made = Authenticator(ORIGIN).create(await options_for(ada))
    problem(await register(eve, made), 401, "invalid_passkey")
    for_log_in = {"challenge": (await options_for(ada))["challenge"], "rpId": HOST}
    problem(await log_in(api, phone.get(for_log_in)), 401, "invalid_passkey")
    asked = await login_options(api)
    options = {**await options_for(ada), "challenge": asked["challenge"]}
    problem(await register(ada, Authenticator(ORIGIN).create(options)), 401, "invalid_passkey")
    own = {"challenge": to_text(b"a challenge of mine, 32 bytes..."), "rpId": HOST}
    problem(await log_in(api, phone.get(own)), 401, "invalid_passkey")
    # What Redis keeps ends by itself.
    keys = [key async for key in redis.scan_iter("*challenge*")]
    assert keys and all([0 < await redis.ttl(key) <= challenges.LIFETIME_S for key in keys])


async def test_an_expired_challenge_is_refused(
    api: World, phone: Authenticator, redis: Redis
) -> None:
    answer = phone.get(await login_options(api))
    for key in [key async for key in redis.scan_iter("*challenge*")]:
        await redis.pexpire(key, 1)
    await asyncio.sleep(0.05)
    problem(await log_in(api, answer), 401, "invalid_passkey")


async def test_somebody_elses_credential_opens_nothing(
    api: World, ada: Person, phone: Authenticator
) -> None:
    eve = await api.person()
    hers = await registered(eve)
    # Her key under Ada's credential, her credential for Ada's account, and a key of nobody.
    forged = dataclasses.replace(phone, key=hers.key)
    problem(await log_in(api, forged.get(await login_options(api))), 401, "invalid_passkey")
    claimed = dataclasses.replace(hers, user_handle=ada.id.encode())
    problem(await log_in(api, claimed.get(await login_options(api))), 401, "invalid_passkey")
    unknown = Authenticator(ORIGIN, user_handle=ada.id.encode())
    problem(await log_in(api, unknown.get(await login_options(api))), 401, "invalid_passkey")
    # Nor can she register Ada's credential once more.
    taken = dataclasses.replace(hers, credential_id=phone.credential_id)
    problem(await register(eve, taken.create(await options_for(eve))), 401, "invalid_passkey")
    assert (await log_in(api, phone.get(await login_options(api)))).status_code == 200


async def test_a_count_that_does_not_rise_is_a_copy(api: World, ada: Person) -> None:
    phone = await registered(ada, count=5)
    for count, status in ((6, 200), (6, 401), (5, 401), (0, 401), (7, 200)):
        phone.count = count
        answer = await log_in(api, phone.get(await login_options(api)))
        assert answer.status_code == status, (count, answer.text)


async def test_of_two_copies_at_the_same_moment_one_wins(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a challenge of its own and the same count: the UPDATE decides, not what was read."""
    phone = await registered(ada, count=5)
    phone.count = 6
    signed = [phone.get(await login_options(api)) for _ in range(2)]
    known, both = passkeys.by_credential, asyncio.Barrier(2)

    async def read_together(*given: Any) -> Passkey | None:
        found = await known(*given)
        await both.wait()
        return found

    monkeypatch.setattr(passkeys, "by_credential", read_together)
    answers = await asyncio.gather(*(log_in(api, one) for one in signed))
    assert sorted(answer.status_code for answer in answers) == [200, 401]


async def test_an_owner_who_was_not_verified_is_refused(
    api: World, ada: Person, phone: Authenticator
) -> None:
    answer = phone.get(await login_options(api), verify=False)
    problem(await log_in(api, answer), 401, "invalid_passkey")
    made = Authenticator(ORIGIN).create(await options_for(ada), verify=False)
    problem(await register(ada, made), 401, "invalid_passkey")


async def test_a_disabled_account_does_not_open(
    api: World, ada: Person, phone: Authenticator
) -> None:
    for column in ("disabled_at", "deleted_at"):
        async with api.sessions.begin() as session:
            await session.execute(update(User).values({column: func.now()}))
        problem(await log_in(api, phone.get(await login_options(api))), 401, "invalid_passkey")
        async with api.sessions.begin() as session:
            await session.execute(update(User).values({column: None}))
    assert (await log_in(api, phone.get(await login_options(api)))).status_code == 200


async def test_refused_answers_count_against_the_network(api: World) -> None:
    nobody = Authenticator(ORIGIN, user_handle=b"nobody")
    answers = [await log_in(api, nobody.get(await login_options(api))) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2


async def test_what_is_no_answer_of_an_authenticator_is_refused(
    api: World, ada: Person, phone: Authenticator
) -> None:
    """Bytes turned at random, and JSON of other shapes: 401, never a fault of ours."""
    rng = random.Random(7)
    for number in range(60):
        made = Authenticator(ORIGIN).create(await options_for(ada))
        answer = phone.get(await login_options(api))
        for credential, name in ((made, "attestationObject"), (answer, "authenticatorData")):
            data = bytearray(to_bytes(credential["response"][name]))
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            credential["response"][name] = to_text(bytes(data[: rng.randrange(1, len(data) + 1)]))
        assert (await register(ada, made)).status_code in (201, 401, 409)
        problem(await log_in(api, answer, network=number), 401, "invalid_passkey")
    good = phone.get(await login_options(api))
    for bad in ({}, {"response": []}, {**good, "id": 1}, {**good, "rawId": {}}, {"rawId": "é"}):
        problem(await log_in(api, bad, network=200), 401, "invalid_passkey")
        problem(await register(ada, bad), 401, "invalid_passkey")


async def test_there_are_twenty_at_most(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passkeys, "MAX_PASSKEYS", 2)
    made = [Authenticator(ORIGIN).create(await options_for(ada)) for _ in range(3)]
    answers = await asyncio.gather(*(register(ada, one) for one in made))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409]
    again = await ada.post("/v1/me/passkeys/options", json={"password": PASSWORD})
    problem(again, 409, "too_many_passkeys")


async def test_a_removed_passkey_opens_nothing(
    api: World, ada: Person, phone: Authenticator
) -> None:
    eve = await api.person()
    (listed,) = (await ada.get("/v1/me/passkeys")).json()["data"]
    problem(await eve.delete(f"/v1/me/passkeys/{listed['id']}"), 404, "not_found")
    assert (await ada.delete(f"/v1/me/passkeys/{listed['id']}")).status_code == 204
    problem(await ada.delete(f"/v1/me/passkeys/{listed['id']}"), 404, "not_found")
    problem(await log_in(api, phone.get(await login_options(api))), 401, "invalid_passkey")
    query = select(AuditLog.action, AuditLog.subject).where(AuditLog.action.startswith("passkey."))
    async with api.sessions() as session:
        rows = [tuple(row) for row in await session.execute(query.order_by(AuditLog.id))]
    assert rows == [("passkey.added", listed["id"]), ("passkey.removed", listed["id"])]


async def test_no_key_manages_passkeys_not_even_an_administrators(api: World, root: Person) -> None:
    async with api.sessions.begin() as session:
        _, key = await create_api_key(session, root.id, "all", ALL_SCOPES)
    calls = (("GET", ""), ("POST", ""), ("POST", "/options"), ("DELETE", "/psk_1"))
    for method, path in calls:
        body = {"json": {}} if method == "POST" else {}
        url = f"/v1/me/passkeys{path}"
        answer = await api.http.request(method, url, headers={"X-API-Key": key}, **body)
        problem(answer, 403, "scope_missing")


async def test_an_operator_removes_passkeys_with_the_rest(
    api: World, ada: Person, phone: Authenticator, atelier_admin: Admin
) -> None:
    await atelier_admin.done("users", "remove-second-factor", ada.email)
    assert await api.count(Passkey) == 0
    assert (await atelier_admin("users", "remove-second-factor", ada.email)).status == 1


async def test_without_redis_log_ins_by_passkey_wait_and_passwords_work(
    quick_to_give_up: None,
    sessions: Sessions,
    objects: ObjectStore,
    store_settings: StoreSettings,
) -> None:
    with without_redis(store_settings) as stores:
        async with world(stores, PUBLIC_URL=ORIGIN) as api:
            answer = await api.http.post("/v1/auth/passkeys/options")
            problem(answer, 503, "unavailable")
            assert await api.person()


async def test_without_a_public_url_there_are_none(
    sessions: Sessions, redis: Redis, objects: ObjectStore, store_settings: StoreSettings
) -> None:
    async with world(store_settings) as api:
        problem(await api.http.post("/v1/auth/passkeys/options"), 404, "passkeys_disabled")


@pytest.mark.parametrize(
    "given",
    [
        {"PUBLIC_URL": "http://atelier.example"},
        {"PUBLIC_URL": "https://atelier.example/app"},
        {"PUBLIC_URL": "atelier.example"},
        {"PUBLIC_URL": ORIGIN, "PASSKEY_ORIGINS": "https://evil.example"},
        {"PUBLIC_URL": ORIGIN, "PASSKEY_ORIGINS": f"https://evil{HOST}"},
        {"PASSKEY_ORIGINS": ORIGIN},
    ],
)
def test_only_origins_of_the_host_are_settings(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        AuthSettings(JWT_SECRET=SECRET, **given)  # type: ignore[arg-type]
