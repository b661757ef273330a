"""Guessing at passwords: whom it delays, for how long, and whom it does not."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from redis.asyncio import Redis

from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from serve_app.auth.failed_attempts import (
    ACCOUNT,
    MAX_DELAY_S,
    NETWORK,
    Bound,
    FailedAttempts,
    LocalCounts,
    Subject,
)
from serve_app.http.errors import RateLimited
from tests.support.http import PASSWORD, Person, World, problem, without_redis, world
from tests.support.quick_passwords import hash_quickly

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.7"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture(autouse=True)
def long_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account's first delay outlasts a test on a busy machine."""
    longer = dataclasses.replace(ACCOUNT, first_delay_s=60)
    monkeypatch.setattr("serve_app.auth.subjects.ACCOUNT", longer)


@pytest.fixture
async def ada(api: World) -> Person:
    return await api.person()


async def log_in(
    api: World,
    email: str,
    password: str = "a guess of mine",
    network: str = HERE,
    device: str | None = None,
) -> httpx.Response:
    headers = {"X-Forwarded-For": network} | ({"X-Device-Token": device} if device else {})
    form = {"username": email, "password": password}
    return await api.http.post("/v1/auth/token", data=form, headers=headers)


def network_of(number: int) -> str:
    return f"192.0.2.{number}"


async def hammer(api: World, email: str, times: int = 10) -> None:
    """Wrong guesses at the account, each from a network of its own, until it is delayed."""
    for number in range(times):
        problem(await log_in(api, email, network=network_of(number)), 401, "wrong_credentials")
    problem(await log_in(api, email, network=network_of(times)), 429, "rate_limited")


async def test_one_guess_each_at_fifty_accounts_from_one_address_is_refused(api: World) -> None:
    answers = [await log_in(api, f"p{number}@example.com") for number in range(50)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 40
    problem(answers[-1], 429, "rate_limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= NETWORK.first_delay_s
    # Known from a network that did nothing.
    problem(await log_in(api, "p1@example.com", network=ELSEWHERE), 401, "wrong_credentials")


async def test_fifty_guesses_at_the_same_moment_are_no_better(api: World) -> None:
    answers = await asyncio.gather(*(log_in(api, f"p{number}@example.com") for number in range(50)))
    assert Counter(answer.status_code for answer in answers) == {401: 10, 429: 40}


async def test_an_account_that_does_not_exist_is_delayed_like_one_that_does(
    api: World, ada: Person
) -> None:
    await hammer(api, ada.email)
    await hammer(api, "nobody@example.com")


async def test_the_owner_logs_in_from_a_known_device_while_others_guess(
    api: World, ada: Person
) -> None:
    device = ada.tokens["device_token"]
    await hammer(api, ada.email)
    problem(await log_in(api, ada.email, PASSWORD), 429, "rate_limited")
    for network in (HERE, network_of(0), ELSEWHERE):
        known = await log_in(api, ada.email, PASSWORD, network, device)
        assert known.status_code == 200
        device = known.json()["device_token"]
    # Her success opens the account to nobody else.
    problem(await log_in(api, ada.email, network=ELSEWHERE), 429, "rate_limited")
    form = {"username": ada.email, "password": PASSWORD, "device_token": device}
    assert (await api.http.post("/v1/auth/token", data=form)).status_code == 200


async def test_a_device_token_is_good_for_its_own_account_alone(api: World, ada: Person) -> None:
    eve = await api.person()
    await hammer(api, ada.email)
    forged = [
        eve.tokens["device_token"],
        ada.tokens["access_token"],
        ada.tokens["device_token"][:-2] + "xx",
        "nonsense",
    ]
    for token in forged:
        answer = await log_in(api, ada.email, PASSWORD, ELSEWHERE, token)
        problem(answer, 429, "rate_limited")
    access = {"Authorization": f"Bearer {ada.tokens['device_token']}"}
    problem(await api.http.get("/v1/me", headers=access), 401, "invalid_token")


async def test_guesses_from_a_known_device_delay_that_device_alone(api: World, ada: Person) -> None:
    stolen = ada.tokens["device_token"]
    other = (await log_in(api, ada.email, PASSWORD)).json()["device_token"]
    answers = [await log_in(api, ada.email, device=stolen) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert (await log_in(api, ada.email, PASSWORD, device=other)).status_code == 200
    assert (await log_in(api, ada.email, PASSWORD)).status_code == 200


async def test_a_success_forgets_the_accounts_failures_and_not_the_networks(
    api: World, ada: Person
) -> None:
    eve = await api.person()
    for _ in range(9):
        problem(await log_in(api, ada.email), 401, "wrong_credentials")
    assert (await log_in(api, eve.email, PASSWORD)).status_code == 200
    problem(await log_in(api, ada.email), 401, "wrong_credentials")
    problem(await log_in(api, eve.email, PASSWORD), 429, "rate_limited")


async def test_successes_never_count(api: World, ada: Person) -> None:
    answers = [await log_in(api, ada.email, PASSWORD) for _ in range(25)]
    assert {answer.status_code for answer in answers} == {200}


async def test_refused_refresh_tokens_count_and_good_ones_are_always_taken(
    api: World, ada: Person
) -> None:
    headers = {"X-Forwarded-For": HERE}
    wrong = {"refresh_token": "atr_wrong"}
    answers = [
        await api.http.post("/v1/auth/refresh", json=wrong, headers=headers) for _ in range(12)
    ]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    problem(await log_in(api, ada.email, PASSWORD), 429, "rate_limited")
    good = {"refresh_token": ada.tokens["refresh_token"]}
    renewed = await api.http.post("/v1/auth/refresh", json=good, headers=headers)
    assert renewed.status_code == 200


async def test_what_redis_keeps_names_no_address_and_expires(
    api: World, ada: Person, redis: Redis
) -> None:
    for _ in range(11):
        await log_in(api, ada.email)
    keys = [key async for key in redis.scan_iter("*failed*")]
    assert len(keys) == 4
    assert not [key for key in keys if HERE in key or ada.email in key]
    assert all([await redis.ttl(key) > 0 for key in keys])


@pytest.mark.parametrize("silent", [False, True])
async def test_without_redis_each_process_counts_for_itself(
    quick_to_give_up: None,
    sessions: Sessions,
    objects: ObjectStore,
    store_settings: StoreSettings,
    silent: bool,
) -> None:
    with without_redis(store_settings, silent=silent) as stores:
        async with world(stores) as api:
            answers = [await log_in(api, f"p{number}@example.com") for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2


async def test_a_process_goes_on_from_the_last_count_when_redis_is_late(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = FailedAttempts(redis), FailedAttempts(redis)
    subject = Subject("somebody", NETWORK)
    for process in [*[elsewhere] * 8, here]:
        await process.failed(subject)
    await here.check(subject)
    monkeypatch.setattr("serve_app.auth.failed_attempts.TIMEOUT_S", 0)
    await here.failed(subject)
    with pytest.raises(RateLimited):
        await here.check(subject)


async def test_a_success_at_another_process_is_one_here(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = FailedAttempts(redis), FailedAttempts(redis)
    subject = Subject("somebody", ACCOUNT)
    for _ in range(10):
        await here.failed(subject)
    with pytest.raises(RateLimited):
        await here.check(subject)
    await elsewhere.succeeded(subject)
    await here.check(subject)
    await here.failed(subject)
    monkeypatch.setattr("serve_app.auth.failed_attempts.TIMEOUT_S", 0)
    await here.check(subject)


@pytest.mark.parametrize(
    ("bound", "delays"),
    [
        (NETWORK, [0, 60, 120, 240, 480, 900, 900]),
        (ACCOUNT, [0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]),
    ],
)
def test_delays_double_up_to_a_quarter_of_an_hour(bound: Bound, delays: list[int]) -> None:
    assert [bound.delay_s(9 + more) for more in range(len(delays))] == delays
    assert bound.delay_s(10**6) == MAX_DELAY_S


def test_a_process_remembers_a_bounded_number_of_subjects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve_app.auth.failed_attempts.MAX_LOCAL", 3)
    counts = LocalCounts()
    always = Bound(free=1, window_s=60, first_delay_s=60, memory_s=60)
    subjects = [Subject(f"s{number}", always) for number in range(5)]
    for subject in subjects:
        counts.add(subject)
    assert [counts.wait_s(subject) > 0 for subject in subjects] == [False] * 2 + [True] * 3
