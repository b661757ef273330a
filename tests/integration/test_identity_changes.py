"""How long a kept key or log-in is believed: the clock, races, and who hears nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine

from db.notifications import listening
from db.settings import StoreSettings
from db.tables import ApiKey
from serve_app.auth import api_keys, identity_cache, identity_changes
from serve_app.auth.identity import authenticate_secret
from tests.support.http import IDENTITIES_KEPT, World, problem, world
from tests.support.identities import (
    execute,
    is_kept,
    is_refused,
    keep,
    listener_pids,
    somebody,
    statements,
)
from tests.support.tcp_relay import relayed
from tests.support.waiting import until


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return IDENTITIES_KEPT


async def test_a_kept_key_ends_when_it_expires(api: World) -> None:
    await until(lambda: api.clients.identities.is_used)
    ada = await somebody(api, expires_at=datetime.now(UTC) + timedelta(seconds=3))
    await keep(api, ada.key)
    await until(lambda: is_refused(api, ada.key))


async def used_at(api: World) -> datetime:
    async with api.sessions() as session:
        found = await session.scalar(select(ApiKey.last_used_at))
    assert found is not None
    return found


async def test_the_use_of_a_kept_key_is_recorded_once_an_interval(
    api: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await somebody(api)
    await until(lambda: api.clients.identities.is_used)
    with statements(api) as found:
        for _ in range(20):
            await authenticate_secret(api.clients, ada.key)
    assert [each.split()[0] for each in found] == ["SELECT", "UPDATE"]

    monkeypatch.setattr(api_keys, "USE_RECORD_INTERVAL", timedelta(seconds=0.5))
    api.clients.identities.clear()
    first = await used_at(api)

    async def is_recorded_again() -> bool:
        await authenticate_secret(api.clients, ada.key)
        return await used_at(api) > first

    await until(is_recorded_again)
    first = await used_at(api)
    await until(is_recorded_again)


async def test_a_look_up_that_began_before_a_revocation_is_not_kept(
    api: World, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, eve = await somebody(api), await somebody(api)
    await keep(api, eve.key)
    has_read, may_answer = asyncio.Event(), asyncio.Event()
    read = api_keys.find_all

    async def late(*given: Any) -> Any:
        found = await read(*given)
        has_read.set()
        await may_answer.wait()
        return found

    monkeypatch.setattr(api_keys, "find_all", late)
    asking = asyncio.create_task(authenticate_secret(api.clients, ada.key))
    await has_read.wait()
    monkeypatch.setattr(api_keys, "find_all", read)
    await execute(engine, "UPDATE api_keys SET revoked_at = now()")
    await until(lambda: is_refused(api, eve.key))
    may_answer.set()
    assert (await asking).user_id == ada.id, "it came before"
    assert await is_refused(api, ada.key)


# The connection that listens


async def test_a_listener_that_is_ended_is_believed_nothing_and_begins_anew(
    api: World, engine: AsyncEngine
) -> None:
    ada, eve = await somebody(api), await somebody(api)
    await keep(api, ada.key, eve.key)
    (pid,) = await listener_pids(api)
    await execute(engine, f"SELECT pg_terminate_backend({pid}, 10000)")
    await execute(engine, f"UPDATE api_keys SET revoked_at = now() WHERE user_id = '{ada.id}'")
    assert await is_refused(api, ada.key)
    await keep(api, eve.key)
    assert await listener_pids(api) != [pid]
    await execute(engine, "UPDATE api_keys SET revoked_at = now()")
    await until(lambda: is_refused(api, eve.key))


async def test_who_listens_and_hears_nothing_keeps_nothing(
    store_settings: StoreSettings, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind PgBouncer, which lends connections for a transaction: LISTEN works, and is lost."""
    attempts: list[str] = []

    def elsewhere(engine: AsyncEngine, channel: str) -> Any:
        attempts.append(channel)
        return listening(engine, "elsewhere")

    monkeypatch.setattr(identity_changes, "listening", elsewhere)
    monkeypatch.setattr(identity_changes, "PATIENCE_S", 0.1)
    monkeypatch.setattr(identity_changes, "MAX_RETRY_S", 0.1)
    async with world(store_settings, **IDENTITIES_KEPT) as api:
        ada = await somebody(api)
        await until(lambda: len(attempts) >= 3)
        for secret in (ada.key, ada.token) * 2:
            assert not await is_kept(api, secret)
        await execute(engine, "UPDATE users SET disabled_at = now()")
        assert await is_refused(api, ada.key) and await is_refused(api, ada.token)


async def test_a_silent_or_absent_postgres_lets_nobody_in_for_longer(
    store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_cache, "MAX_SILENCE_S", 1.5)
    monkeypatch.setattr(identity_changes, "PING_INTERVAL_S", 0.1)
    url = make_url(store_settings.database_url.get_secret_value())
    assert url.host is not None and url.port is not None
    async with relayed(url.host, url.port) as relay:
        through = url.set(host="127.0.0.1", port=relay.port).render_as_string(False)
        stores = store_settings.model_copy(update={"database_url": SecretStr(through)})
        async with world(stores, **IDENTITIES_KEPT) as api:
            ada = await somebody(api)
            await keep(api, ada.key)
            relay.silence()
            await until(lambda: not api.clients.identities.is_used)
            await relay.shut()
            answer = await api.http.get("/v1/limits", headers={"X-API-Key": ada.key})
            problem(answer, 503, "unavailable")
            await relay.open()
            await keep(api, ada.key)
