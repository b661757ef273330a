"""Rates over HTTP and in Redis: classes, keys, addresses, replicas, and a Redis that is away."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from db.embedded.state import State
from db.embedded.valkey import EmbeddedValkey
from db.session import Sessions
from db.settings import StoreSettings
from serve_app.http import rate_limit
from serve_app.http.rate_limit import Allowance, Bucket, LocalBuckets, RateLimiter
from serve_app.http.rates import Rate
from tests.support.agents import key_of
from tests.support.http import PASSWORD, World, problem, without_redis, world
from tests.support.waiting import until

SLOW = Rate(per_minute=1, burst=5)  # nothing comes back while a test runs


def strict(kind: str, plan: str = "free", burst: int = 3) -> dict[str, Any]:
    return {"RATE_LIMITS": {plan: {kind: {"per_minute": 1, "burst": burst}}}}


# In Redis


async def test_redis_counts_as_this_process_would(redis: Redis) -> None:
    """Any mixture of requests, many at a time, with one bucket or two."""
    chance, limiter, here = random.Random(7), RateLimiter(redis), LocalBuckets()
    buckets = [
        Bucket("read", str(number), Rate(per_minute=1, burst=burst))
        for number, burst in enumerate((1, 2, 5, 20, 40))
    ]
    for _ in range(20):
        requests = [chance.sample(buckets, chance.randint(1, 2)) for _ in range(8)]
        shared = await asyncio.gather(*(limiter.take("read", *request) for request in requests))
        own = [here.take(request, 0) for request in requests]
        assert [one.exceeded for one in shared] == [one.exceeded for one in own]
        assert [remaining(one) for one in shared] == [remaining(one) for one in own]


def remaining(allowance: Allowance) -> list[int]:
    return [level.remaining for level in allowance.levels]


async def test_the_border_of_a_minute_gives_nothing_back(redis: Redis, monkeypatch: Any) -> None:
    """With the whole limit used just before it, a window would let as much through just after."""
    limiter, bucket = RateLimiter(redis), Bucket("read", "usr_a", Rate(per_minute=60))
    used = [(await limiter.take("read", bucket)).exceeded for _ in range(60)]
    now = rate_limit.time.time()
    monkeypatch.setattr(rate_limit.time, "time", lambda: now + 60)
    again = [(await limiter.take("read", bucket)).exceeded for _ in range(60)]
    # What came back since: a request each second.
    assert not any(used) and again.count(True) > 30


async def test_replicas_count_together_and_let_in_exactly_as_many(redis: Redis) -> None:
    replicas = [RateLimiter(redis) for _ in range(3)]
    bucket = Bucket("submit", "usr_a", Rate(per_minute=1, burst=37))
    found = await asyncio.gather(
        *(replicas[number % 3].take("submit", bucket) for number in range(150))
    )
    assert [one.exceeded for one in found].count(False) == 37


async def test_who_waits_as_long_as_they_are_told_is_let_in(redis: Redis) -> None:
    limiter, bucket = RateLimiter(redis), Bucket("read", "usr_a", Rate(per_minute=20, burst=1))
    await limiter.take("read", bucket)
    refused = await limiter.take("read", bucket)
    assert refused.exceeded and refused.retry_after_s in (1, 2, 3)
    await asyncio.sleep(refused.retry_after_s)
    assert not (await limiter.take("read", bucket)).exceeded


async def test_all_buckets_of_all_requests_are_one_command(redis: Redis) -> None:
    limiter = RateLimiter(redis)
    own, key = Bucket("read", "usr_a", SLOW), Bucket("read-key", "key_a", SLOW)
    await limiter.take("read", own, key)  # loads the script

    async def asked() -> int:
        return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])

    before = await asked()
    await limiter.take("read", own, key)
    assert await asked() == before + 1
    await asyncio.gather(*(limiter.take("read", own, key) for _ in range(50)))
    assert await asked() <= before + 4
    ttl = await redis.pttl(own.key)
    assert 0 < ttl <= 5 * 60_000


async def test_a_redis_that_lost_the_script_is_given_it_again(redis: Redis) -> None:
    limiter, bucket = RateLimiter(redis), Bucket("read", "usr_a", SLOW)
    first = await limiter.take("read", bucket)
    await redis.script_flush()
    second = await limiter.take("read", bucket)
    assert remaining(second)[0] == remaining(first)[0] - 1


# Over HTTP


@pytest.fixture
async def small(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    one = {"per_minute": 1, "burst": 3}
    rates = {
        "free": {"read": {"per_minute": 1, "burst": 6}, "submit": one, "upload": one},
        "address": {"login": one, "public": one},
    }
    async with world(store_settings, RATE_LIMITS=rates) as api:
        yield api


async def test_each_class_has_a_rate_of_its_own(small: World) -> None:
    ada = await small.guest()
    answers = [await ada.submit() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    problem(answers[-1], 429, "rate_limited")
    assert answers[0].headers["ratelimit-policy"] == '"submit";q=3;w=180'
    assert answers[0].headers["ratelimit"].startswith('"submit";r=2;t=')
    assert answers[-1].headers["ratelimit"].startswith('"submit";r=0;t=')
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    me = await ada.get("/v1/me")
    assert me.headers["ratelimit-policy"] == '"read";q=6;w=360'
    quote = await ada.post("/v1/generators/image/quote", json={"input": {"prompt": "a"}})
    assert quote.headers["ratelimit-policy"] == '"write";q=300;w=60'
    files = [await ada.post("/v1/files", files={"file": b"x"}) for _ in range(4)]
    assert [answer.status_code == 429 for answer in files] == [False, False, False, True]
    shown = small.clients.metrics.render().decode()
    assert 'atelier_rate_limited_total{rate_class="submit"} 1.0' in shown
    assert 'atelier_rate_limited_total{rate_class="login"} 0.0' in shown


async def test_a_key_leaves_the_others_of_its_user_some(small: World) -> None:
    ada = await small.guest()
    wild, tame = await key_of(ada), await key_of(ada)

    async def me(key: str) -> httpx.Response:
        return await small.http.get("/v1/me", headers={"X-API-Key": key})

    answers = [await me(wild) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    assert answers[0].headers["ratelimit-policy"] == '"read";q=6;w=360, "read-key";q=4;w=240'
    assert [(await me(tame)).status_code for _ in range(3)] == [200, 200, 429], "the user's own"


async def test_addresses_are_counted_where_nobody_logs_in(small: World, redis: Redis) -> None:
    async def generators(address: str) -> httpx.Response:
        return await small.http.get("/v1/generators", headers={"X-Forwarded-For": address})

    answers = [await generators("198.51.100.7") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"public";q=3;w=180'
    assert answers[-1].headers["retry-after"]
    assert (await generators("198.51.100.8")).status_code == 200
    same = [await generators(f"2001:db8::{number}") for number in range(1, 5)]
    assert same[-1].status_code == 429, "a /64 is one address"
    assert not [key async for key in redis.scan_iter("*198.51*")]
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/llms.txt"):
        answers = [await small.http.get(path) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}, path


async def log_in(api: World, number: int = 0) -> int:
    form = {"username": f"p{number}@example.com", "password": PASSWORD}
    return (await api.http.post("/v1/auth/token", data=form)).status_code


async def test_what_logs_in_is_counted_together(small: World) -> None:
    assert await log_in(small) == 401
    reset = await small.http.post("/v1/auth/password-reset", json={"email": "p@example.com"})
    assert reset.status_code == 404
    body = {"email": "p@example.com", "password": PASSWORD}
    assert (await small.http.post("/v1/auth/register", json=body)).status_code == 201
    refused = await small.http.post("/v1/auth/register", json=body)
    problem(refused, 429, "rate_limited")
    assert refused.headers["ratelimit-policy"] == '"login";q=3;w=180'


async def renew(api: World, token: str) -> httpx.Response:
    return await api.http.post("/v1/auth/refresh", json={"refresh_token": token})


async def test_who_is_logged_in_goes_on_while_a_neighbor_tries_passwords(small: World) -> None:
    ada = await small.guest()
    assert [await log_in(small, number) for number in range(4)] == [401] * 3 + [429]
    renewed = await renew(small, ada.tokens["refresh_token"])
    assert renewed.status_code == 200
    assert renewed.headers["ratelimit-policy"] == ('"refresh";q=600;w=60, "refresh-user";q=60;w=60')
    assert renewed.headers["ratelimit"].count(";r=") == 2


async def test_refreshes_are_counted_by_user_and_a_refused_one_keeps_its_token(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> None:
    rates = {"free": {"refresh": {"per_minute": 1, "burst": 2}}}
    async with world(store_settings, RATE_LIMITS=rates) as api:
        ada, bob = await api.guest(), await api.guest()
        first = ada.tokens["refresh_token"]
        second = (await renew(api, first)).json()["refresh_token"]
        third = (await renew(api, second)).json()["refresh_token"]
        refused = await renew(api, third)
        problem(refused, 429, "rate_limited")
        assert refused.headers["ratelimit-policy"] == '"refresh-user";q=2;w=120'
        assert (await renew(api, bob.tokens["refresh_token"])).status_code == 200
        await redis.flushdb()
        assert (await renew(api, third)).status_code == 200
        await redis.flushdb()
        assert [(await renew(api, first)).status_code for _ in range(3)] == [401] * 3
        me = await ada.get("/v1/limits")
        problem(me, 401, "invalid_token")  # a token used twice ended the log-in
        rates = (await bob.get("/v1/limits")).json()["rates"]
        assert rates["refresh"] == {"per_minute": 1, "burst": 2}


async def test_refreshes_are_counted_by_address(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> None:
    rates = {"address": {"refresh": {"per_minute": 1, "burst": 2}}}
    async with world(store_settings, RATE_LIMITS=rates) as api:
        answers = [await renew(api, "atr_wrong") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert await log_in(api) == 401


async def test_a_better_plan_sends_more(small: World) -> None:
    ada = await small.guest("admin")
    await ada.patch(f"/v1/admin/users/{ada.id}", json={"plan": "starter"})
    limits = (await ada.get("/v1/limits")).json()
    assert limits["requests_per_minute"] == 1200
    assert limits["rates"]["submit"] == {"per_minute": 600, "burst": 600}
    assert (await ada.submit()).headers["ratelimit-policy"] == '"submit";q=600;w=60'


# Without Redis


@pytest.mark.parametrize("silent", [False, True])
async def test_without_redis_some_classes_are_counted_here_and_the_rest_let_in(
    quick_to_give_up: None, sessions: Sessions, store_settings: StoreSettings, silent: bool
) -> None:
    one = {"per_minute": 1, "burst": 3}
    rates = {"free": {"read": one, "submit": one}, "address": {"login": one, "public": one}}
    with without_redis(store_settings, silent=silent) as stores:
        async with world(stores, RATE_LIMITS=rates) as api:
            ada = await api.guest()
            assert [await log_in(api, number) for number in range(5)] == [401] * 3 + [429] * 2
            reads = [await ada.get("/v1/me") for _ in range(5)]
            assert {answer.status_code for answer in reads} == {200}
            submits = [(await ada.submit()).status_code for _ in range(5)]
            assert submits == [202] * 3 + [429] * 2
            asked = [await api.http.get("/v1/generators") for _ in range(5)]
            assert {answer.status_code for answer in asked} == {200}


async def test_a_redis_that_is_killed_and_comes_back_is_counted_in_again(
    quick_to_give_up: None,
    sessions: Sessions,
    store_settings: StoreSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it is away reads are let in, and this process counts the guesses."""
    monkeypatch.setattr("serve_app.http.rate_limit.PAUSE_S", 0.0)
    valkey = EmbeddedValkey(tmp_path, State(tmp_path))
    await asyncio.to_thread(valkey.start)
    try:
        url = SecretStr(valkey.environment()["REDIS_URL"])
        stores = store_settings.model_copy(update={"redis_url": url})
        one = {"per_minute": 1, "burst": 3}
        rates = {"free": {"read": one, "submit": one}, "address": {"login": one}}
        async with world(stores, RATE_LIMITS=rates) as api:
            ada = await api.guest()
            reads = [(await ada.get("/v1/me")).status_code for _ in range(4)]
            assert reads == [200, 200, 200, 429]
            assert [await log_in(api, number) for number in range(4)] == [401] * 3 + [429]
            await asyncio.to_thread(valkey.process.stop, signal.SIGKILL)
            assert [(await ada.get("/v1/me")).status_code for _ in range(4)] == [200] * 4
            assert [await log_in(api, number) for number in range(5)] == [401] * 3 + [429] * 2
            await asyncio.to_thread(valkey.start)

            async def is_refused() -> bool:
                return (await ada.get("/v1/me")).status_code == 429

            await until(is_refused)
    finally:
        await asyncio.to_thread(valkey.process.stop, signal.SIGKILL)
