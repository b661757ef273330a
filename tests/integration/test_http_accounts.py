"""Register, log in, refresh, log out, API keys and scopes, over HTTP on real stores."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from jose import jwt
from sqlalchemy import select, update

from db.settings import StoreSettings
from db.tables import ApiKey, RefreshToken, User
from tests.support.http import PASSWORD, SECRET, WELCOME, Person, World, problem, world
from tests.support.quick_passwords import hash_quickly


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
async def ada(api: World) -> Person:
    return await api.person()


async def test_a_new_account_starts_with_the_welcome_credits(api: World, ada: Person) -> None:
    me = (await ada.get("/v1/me")).json()
    assert (me["id"], me["email"], me["role"]) == (ada.id, ada.email, "user")
    credits = await ada.get("/v1/credits")
    assert credits.json() == {"balance": WELCOME, "held": 0, "debt": 0, "expiring": []}
    ledger = (await ada.get("/v1/credits/transactions")).json()["data"]
    assert [(row["kind"], row["amount"]) for row in ledger] == [("grant", WELCOME)]
    await api.assert_adds_up(ada.id)


async def test_an_address_has_one_account_whatever_its_case(api: World, ada: Person) -> None:
    body = {"email": ada.email.upper(), "password": PASSWORD}
    again = await api.http.post("/v1/auth/register", json=body)
    assert (again.status_code, again.json()["user"]["email"]) == (201, ada.email)
    assert await api.count(User) == 1
    assert (await api.log_in(ada.email.upper()))["access_token"]


async def test_twenty_registrations_of_one_address_make_one_account(
    api: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_quickly(monkeypatch)
    body = {"email": "same@example.com", "password": PASSWORD}
    posts = [api.http.post("/v1/auth/register", json=body) for _ in range(20)]
    answers = await asyncio.gather(*posts)
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (201, answers[0].content)
    }
    assert await api.count(User) == 1


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"email": "a@example.com", "password": "short"}, ["password"]),
        ({"email": "a@example.com", "password": "x" * 257}, ["password"]),
        ({"email": "no address", "password": PASSWORD}, ["email"]),
        ({"email": "a@example.com"}, ["password"]),
        ({"email": "a@example.com", "password": PASSWORD, "role": "admin"}, ["role"]),
        ({"email": "a@example.com", "password": "a\0bcdefghij"}, ["password"]),
        ({"email": "a\0@example.com", "password": PASSWORD}, ["email"]),
        ({"email": "a@example.com", "password": "\ud800bcdefghij"}, ["password"]),
        ([], []),
        ("text", []),
    ],
)
async def test_a_bad_registration_says_what_is_wrong_and_makes_nobody(
    api: World, body: object, where: list[str]
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.http.post("/v1/auth/register", content=json.dumps(body), headers=headers)
    found = problem(answer, 422, "bad_input")
    assert where in [error["loc"] for error in found["errors"]]
    assert await api.count(User) == 0


async def test_nobody_learns_whether_the_address_or_the_password_is_wrong(
    api: World, ada: Person
) -> None:
    answers = [
        await api.http.post("/v1/auth/token", data={"username": name, "password": password})
        for name, password in [
            (ada.email, "not the password"),
            ("nobody@example.com", PASSWORD),
            ("a\0b", PASSWORD),
            (ada.email, "x" * 5000),
        ]
    ]
    documents = [problem(answer, 401, "wrong_credentials") for answer in answers]
    assert len({document["detail"] for document in documents}) == 1


async def test_a_refresh_token_works_once_and_its_second_use_ends_the_login(
    api: World, ada: Person
) -> None:
    first = ada.tokens["refresh_token"]
    renewed = await api.http.post("/v1/auth/refresh", json={"refresh_token": first})
    assert renewed.status_code == 200
    assert renewed.headers["cache-control"] == "no-store"
    second = renewed.json()
    assert second["refresh_token"] != first

    stolen = await api.http.post("/v1/auth/refresh", json={"refresh_token": first})
    problem(stolen, 401, "invalid_token")
    revoked = await api.http.post(
        "/v1/auth/refresh", json={"refresh_token": second["refresh_token"]}
    )
    problem(revoked, 401, "invalid_token")
    access = {"Authorization": f"Bearer {second['access_token']}"}
    problem(await api.http.get("/v1/me", headers=access), 401, "invalid_token")
    assert (await api.log_in(ada.email))["access_token"]


async def test_of_ten_simultaneous_refreshes_one_wins_and_the_login_ends(
    api: World, ada: Person
) -> None:
    body = {"refresh_token": ada.tokens["refresh_token"]}
    answers = await asyncio.gather(
        *(api.http.post("/v1/auth/refresh", json=body) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
    async with api.sessions() as session:
        tokens = (await session.scalars(select(RefreshToken))).all()
    assert all(token.revoked_at is not None for token in tokens)


async def test_an_expired_refresh_token_is_refused(api: World, ada: Person) -> None:
    async with api.sessions.begin() as session:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await session.execute(update(RefreshToken).values(expires_at=past))
    body = {"refresh_token": ada.tokens["refresh_token"]}
    problem(await api.http.post("/v1/auth/refresh", json=body), 401, "invalid_token")


async def test_tokens_are_kept_as_hashes(api: World, ada: Person) -> None:
    made = (await ada.post("/v1/api-keys", json={"name": "laptop"})).json()
    async with api.sessions() as session:
        user = (await session.scalars(select(User))).one()
        key = (await session.scalars(select(ApiKey))).one()
        token = (await session.scalars(select(RefreshToken))).one()
    assert user.password_hash.startswith("$argon2id$")
    assert made["key"] not in (key.key_hash, key.hint, key.name)
    assert token.token_hash != ada.tokens["refresh_token"]


async def test_logging_out_ends_this_login_and_no_other(api: World, ada: Person) -> None:
    other = Person(api, ada.id, ada.email, await api.log_in(ada.email))
    assert (await ada.post("/v1/auth/logout")).status_code == 204
    problem(await ada.get("/v1/me"), 401, "invalid_token")
    body = {"refresh_token": ada.tokens["refresh_token"]}
    problem(await api.http.post("/v1/auth/refresh", json=body), 401, "invalid_token")
    assert (await other.get("/v1/me")).status_code == 200


async def test_only_tokens_signed_by_us_for_us_and_unexpired_are_taken(
    api: World, ada: Person
) -> None:
    good = jwt.get_unverified_claims(ada.tokens["access_token"])
    without_jti = {name: value for name, value in good.items() if name != "jti"}
    forged = [
        jwt.encode(good, "another secret, long enough to be one of ours", algorithm="HS256"),
        jwt.encode(good, SECRET, algorithm="HS512"),
        jwt.encode({**good, "exp": good["iat"] - 1}, SECRET, algorithm="HS256"),
        jwt.encode({**good, "iss": "someone"}, SECRET, algorithm="HS256"),
        jwt.encode({**good, "aud": "something"}, SECRET, algorithm="HS256"),
        jwt.encode({**good, "sub": "usr_nobody"}, SECRET, algorithm="HS256"),
        jwt.encode(without_jti, SECRET, algorithm="HS256"),
        "eyJhbGciOiJub25lIn0." + ada.tokens["access_token"].split(".")[1] + ".",
        ada.tokens["refresh_token"],
        ada.tokens["access_token"][:-2] + "xx",
        "atl_" + "x" * 43,
        "nonsense",
    ]
    for token in forged:
        answer = await api.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        problem(answer, 401, "invalid_token")
        assert answer.headers["www-authenticate"] == "Bearer"
    problem(await api.http.get("/v1/me"), 401, "unauthorized")


async def test_a_key_works_in_either_header_until_it_is_revoked(api: World, ada: Person) -> None:
    made = await ada.post("/v1/api-keys", json={"name": "laptop"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert key["key"].startswith("atl_") and key["key"].endswith(key["hint"])
    headers = [{"Authorization": f"Bearer {key['key']}"}, {"X-API-Key": key["key"]}]
    for header in headers:
        me = await api.http.get("/v1/me", headers=header)
        assert me.json()["id"] == ada.id
        assert me.headers["ratelimit-policy"] == '"read";q=600;w=60, "read-key";q=480;w=60'
    listed = (await ada.get("/v1/api-keys")).json()["data"]
    assert [(item["id"], "key" in item) for item in listed] == [(key["id"], False)]
    assert listed[0]["last_used_at"] is not None

    assert (await ada.delete(f"/v1/api-keys/{key['id']}")).status_code == 204
    for header in headers:
        problem(await api.http.get("/v1/me", headers=header), 401, "invalid_token")
    problem(await ada.delete(f"/v1/api-keys/{key['id']}"), 404, "not_found")


async def test_a_key_does_what_its_scopes_say_and_cannot_make_keys(api: World, ada: Person) -> None:
    body = {"name": "reader", "scopes": ["jobs:read"]}
    key = (await ada.post("/v1/api-keys", json=body)).json()["key"]
    header = {"X-API-Key": key}
    assert (await api.http.get("/v1/jobs", headers=header)).status_code == 200
    job = {"generator": "image", "input": {"prompt": "a circle"}}
    problem(await api.http.post("/v1/jobs", json=job, headers=header), 403, "scope_missing")
    problem(await api.http.get("/v1/credits", headers=header), 403, "scope_missing")
    problem(await api.http.post("/v1/api-keys", json=body, headers=header), 403, "scope_missing")
    assert await api.nothing_happened(ada.id)


async def test_only_an_administrator_makes_admin_keys_and_they_end_with_the_role(
    api: World, ada: Person
) -> None:
    body = {"name": "root", "scopes": ["admin"]}
    problem(await ada.post("/v1/api-keys", json=body), 403, "scope_missing")
    async with api.sessions.begin() as session:
        await session.execute(update(User).values(role="admin"))
    key = (await ada.post("/v1/api-keys", json=body)).json()["key"]
    header = {"X-API-Key": key}
    assert (await api.http.get("/v1/api-keys", headers=header)).status_code == 200
    async with api.sessions.begin() as session:
        await session.execute(update(User).values(role="user"))
    problem(await api.http.get("/v1/api-keys", headers=header), 403, "scope_missing")


async def test_a_key_asked_for_twice_with_one_idempotency_key_is_one_key(
    api: World, ada: Person
) -> None:
    header = {"Idempotency-Key": "key-1"}
    first = (await ada.post("/v1/api-keys", json={"name": "a"}, headers=header)).json()
    second = await ada.post("/v1/api-keys", json={"name": "a"}, headers=header)
    assert second.headers["idempotent-replayed"] == "true"
    assert (second.json()["id"], second.json()["key"]) == (first["id"], None)
    assert await api.count(ApiKey, ada.id) == 1
    other = await ada.post("/v1/api-keys", json={"name": "b"}, headers=header)
    problem(other, 422, "idempotency_mismatch")


async def test_another_persons_key_cannot_be_revoked(api: World, ada: Person) -> None:
    key = (await ada.post("/v1/api-keys", json={"name": "mine"})).json()
    eve = await api.person()
    problem(await eve.delete(f"/v1/api-keys/{key['id']}"), 404, "not_found")
    assert (await eve.get("/v1/api-keys")).json()["data"] == []


async def test_a_changed_password_ends_the_other_logins_and_keeps_this_one_and_the_keys(
    api: World, ada: Person
) -> None:
    mine = await api.person()
    other = await api.log_in(mine.email)
    key = (await mine.post("/v1/api-keys", json={"name": "robot"})).json()["key"]
    new = {"current_password": PASSWORD, "password": "another horse entirely"}
    wrong = await mine.put("/v1/me/password", json={**new, "current_password": "guess"})
    problem(wrong, 401, "wrong_credentials")
    assert (await mine.put("/v1/me/password", json=new)).status_code == 204
    assert (await mine.get("/v1/me")).status_code == 200
    ended = await api.http.post("/v1/auth/refresh", json={"refresh_token": other["refresh_token"]})
    problem(ended, 401, "invalid_token")
    with_key = await api.http.get("/v1/me", headers={"X-API-Key": key})
    assert with_key.status_code == 200
    refused = await api.http.put("/v1/me/password", json=new, headers={"X-API-Key": key})
    problem(refused, 403, "scope_missing")
    problem(await mine.put("/v1/me/password", json=new), 401, "wrong_credentials")
    await api.log_in(mine.email, "another horse entirely")


async def test_of_changes_at_once_one_wins(api: World) -> None:
    mine = await api.person()
    bodies = [
        {"current_password": PASSWORD, "password": f"another horse, number {n}"} for n in range(4)
    ]
    answers = await asyncio.gather(*(mine.put("/v1/me/password", json=body) for body in bodies))
    assert [answer.status_code for answer in answers].count(204) == 1
    won = next(n for n, answer in enumerate(answers) if answer.status_code == 204)
    await api.log_in(mine.email, bodies[won]["password"])


async def test_pages_of_named_origins_may_call(store_settings: StoreSettings) -> None:
    app = "https://app.example.com"
    asked = {"Origin": app, "Access-Control-Request-Method": "POST"}
    async with world(store_settings, CORS_ORIGINS=f"{app}, https://other.example.com") as api:
        allowed = await api.http.options(
            "/v1/jobs", headers={**asked, "Access-Control-Request-Headers": "x-api-key"}
        )
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == app
        answer = await api.http.get("/v1/jobs", headers={"Origin": app})
        problem(answer, 401, "unauthorized")
        assert answer.headers["access-control-allow-origin"] == app
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        stranger = {**asked, "Origin": "https://evil.example.com"}
        refused = await api.http.options("/v1/jobs", headers=stranger)
        assert "access-control-allow-origin" not in refused.headers
    async with world(store_settings) as api:
        shut = await api.http.options("/v1/jobs", headers=asked)
        assert "access-control-allow-origin" not in shut.headers
