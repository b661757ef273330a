"""Keys and log-ins are looked up once, and a change of them holds at once, whoever makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from db.notifications import listening
from db.settings import StoreSettings
from db.tables import ApiKey
from serve_app.auth import api_keys, identity_changes, refresh
from serve_app.auth.identity import Identity, authenticate_secret
from serve_app.auth.identity_cache import IdentityCache
from tests.support.agents import key_of
from tests.support.http import IDENTITIES_KEPT, PASSWORD, Person, World, problem, world
from tests.support.identities import execute, is_kept, is_refused, keep, listener_pids, somebody
from tests.support.waiting import until


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return IDENTITIES_KEPT


@pytest.fixture
async def other(store_settings: StoreSettings, api: World) -> AsyncIterator[World]:
    """A second ingress on the same stores."""
    async with world(store_settings, **IDENTITIES_KEPT) as found:
        yield found


async def test_a_key_and_a_log_in_are_looked_up_once(api: World) -> None:
    ada = await somebody(api)
    await until(lambda: api.clients.identities.is_used)
    for secret in (ada.key, ada.token):
        assert not await is_kept(api, secret)
        found = [await authenticate_secret(api.clients, secret) for _ in range(2)]
        assert found[0] == found[1] and found[0].user_id == ada.id
        assert await is_kept(api, secret)


async def test_nothing_is_kept_where_that_is_not_wanted(store_settings: StoreSettings) -> None:
    async with world(store_settings, IDENTITY_CACHE_SECONDS=0) as api:
        ada = await somebody(api)
        api.clients.identities.heard_all_before(float("inf"))
        for secret in (ada.key, ada.token, ada.key, ada.token):
            assert not await is_kept(api, secret)
        assert await listener_pids(api) == []


ENDS = {
    "UPDATE api_keys SET revoked_at = now()": "key",
    "UPDATE api_keys SET expires_at = now()": "key",
    "UPDATE api_keys SET key_hash = 'another'": "key",
    "DELETE FROM api_keys": "key",
    "TRUNCATE api_keys CASCADE": "key",
    "UPDATE refresh_tokens SET revoked_at = now()": "login",
    "INSERT INTO refresh_tokens (id, family_id, user_id, token_hash, expires_at, revoked_at)"
    " SELECT 'rft_new', family_id, user_id, 'new', now(), now() FROM refresh_tokens": "login",
    "UPDATE users SET disabled_at = now()": "both",
    "UPDATE users SET deleted_at = now()": "both",
    "DELETE FROM users": "both",
}


@pytest.mark.parametrize("statement", ENDS)
async def test_what_anybody_ends_is_refused(
    api: World, other: World, engine: AsyncEngine, statement: str
) -> None:
    ada = await somebody(api)
    for each in (api, other):
        await keep(each, ada.key, ada.token)
    await execute(engine, statement)
    for each in (api, other):
        if ENDS[statement] != "login":
            await until(lambda each=each: is_refused(each, ada.key))
        if ENDS[statement] != "key":
            await until(lambda each=each: is_refused(each, ada.token))


CHANGES = {
    "UPDATE users SET plan = 'pro'": ("key", "plan", "pro"),
    "UPDATE users SET role = 'admin'": ("token", "role", "admin"),
    "UPDATE api_keys SET scopes = jsonb_build_array('files')": (
        "key",
        "scopes",
        frozenset({"files"}),
    ),
}


@pytest.mark.parametrize("statement", CHANGES)
async def test_what_anybody_changes_holds(
    api: World, other: World, engine: AsyncEngine, statement: str
) -> None:
    ada = await somebody(api)
    credential, field, value = CHANGES[statement]
    secret = getattr(ada, credential)

    async def holds(each: World) -> bool:
        return bool(getattr(await authenticate_secret(each.clients, secret), field) == value)

    for each in (api, other):
        await keep(each, secret)
        assert not await holds(each)
    await execute(engine, statement)
    for each in (api, other):
        await until(lambda each=each: holds(each))


async def test_postgres_tells_of_these_changes_and_of_nothing_else(
    api: World, engine: AsyncEngine
) -> None:
    """What is written at every submit, at every rotation and by maintenance is not told."""
    ada = await somebody(api)
    quiet = (
        "UPDATE users SET balance = 5, email = 'b@example.com', pending = true",
        "UPDATE users SET plan = plan, role = role",
        "UPDATE api_keys SET last_used_at = now(), name = 'b', monthly_cap = 7",
        "UPDATE refresh_tokens SET used_at = now()",
        "DELETE FROM refresh_tokens",
    )
    async with listening(engine, identity_changes.CHANNEL) as payloads:
        for statement in quiet:
            await execute(engine, statement)
        async with api.sessions.begin() as session:
            assert await api_keys.record_use(session, "key_of_nobody") is None
            await refresh.issue(session, ada.id, 3600)
        await execute(engine, "UPDATE users SET plan = 'pro'")
        async with asyncio.timeout(90):
            while (told := await anext(payloads)).startswith(identity_changes.PING):
                pass
    assert told == ada.id


async def test_an_account_that_is_rolled_back_stays(api: World) -> None:
    ada = await somebody(api)
    await keep(api, ada.key)
    async with api.sessions() as session:
        await session.execute(update(ApiKey).values(revoked_at=datetime.now(UTC)))
        await session.rollback()
    assert await is_kept(api, ada.key)


# What is changed over HTTP. Nothing is heard here, so that this process must know by itself.


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IdentityCache, "forget", lambda *_: None)


@pytest.mark.usefixtures("deaf")
async def test_who_ends_a_key_or_a_log_in_finds_it_ended(api: World) -> None:
    ada = await api.person()
    token = ada.tokens["access_token"]
    made = (await ada.post("/v1/api-keys", json={"name": "a"})).json()
    await keep(api, made["key"], token)
    assert (await ada.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    assert await is_refused(api, made["key"])

    second = await api.log_in(ada.email)
    await keep(api, second["access_token"])
    body = {"refresh_token": second["refresh_token"]}
    assert (await api.http.post("/v1/auth/refresh", json=body)).status_code == 200
    await keep(api, second["access_token"])
    problem(await api.http.post("/v1/auth/refresh", json=body), 401, "invalid_token")
    assert await is_refused(api, second["access_token"]), "it was used twice"

    third = await api.log_in(ada.email)
    await keep(api, token, third["access_token"])
    body = {"current_password": PASSWORD, "password": f"{PASSWORD} 2"}
    assert (await ada.put("/v1/me/password", json=body)).status_code == 204
    assert await is_refused(api, third["access_token"])
    await keep(api, token)
    assert (await ada.post("/v1/auth/logout")).status_code == 204
    assert await is_refused(api, token)


@pytest.mark.usefixtures("deaf")
async def test_who_changes_an_account_finds_it_changed(api: World, root: Person) -> None:
    ada = await api.person()
    secrets = [ada.tokens["access_token"], await key_of(ada)]
    path = f"/v1/admin/users/{ada.id}"

    async def found() -> Sequence[Identity]:
        return [await authenticate_secret(api.clients, secret) for secret in secrets]

    await keep(api, *secrets)
    assert (await root.patch(path, json={"plan": "pro"})).status_code == 200
    assert {one.plan for one in await found()} == {"pro"}
    await keep(api, *secrets)
    assert (await root.put(f"{path}/role", json={"role": "ops"})).status_code == 200
    assert {one.role for one in await found()} == {"ops"}
    await keep(api, *secrets)
    assert (await root.post(f"{path}/disable")).status_code == 200
    assert [await is_refused(api, secret) for secret in secrets] == [True, True]
    assert (await root.post(f"{path}/enable")).status_code == 200
    secrets = [(await api.log_in(ada.email))["access_token"], secrets[1]]
    await keep(api, *secrets)
    ada.tokens["access_token"] = secrets[0]
    answer = await ada.world.http.request(
        "DELETE", "/v1/me", json={"password": PASSWORD}, headers=ada.headers
    )
    assert answer.status_code == 202
    assert [await is_refused(api, secret) for secret in secrets] == [True, True]


async def test_a_key_works_the_moment_it_is_made(api: World, ada: Person) -> None:
    await until(lambda: api.clients.identities.is_used)
    key = await key_of(ada)
    assert (await api.http.get("/v1/me", headers={"X-API-Key": key})).status_code == 200
