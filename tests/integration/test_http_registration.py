"""Registration under attack: how many accounts, how many credits, and what the answer tells."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from sqlalchemy import func, select, update

from db.ids import new_id
from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import DailyCounter, Transaction, User
from deployments.maintenance.clean_accounts import sweep_accounts
from deployments.maintenance.context import MaintenanceContext
from tests.support.http import PASSWORD, WELCOME, World, problem, settings_for, world
from tests.support.quick_passwords import hash_quickly


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
async def clean(sessions: Sessions, redis: Redis, objects: ObjectStore) -> None:
    """Empty stores, for the tests that start an API of their own."""


async def register(
    http: httpx.AsyncClient, email: str | None = None, network: str = "203.0.113.7"
) -> httpx.Response:
    """As somebody at ``network`` behind the proxy."""
    body = {"email": email or f"{new_id('r')}@example.com".lower(), "password": PASSWORD}
    headers = {"X-Forwarded-For": network}
    return await http.post("/v1/auth/register", json=body, headers=headers)


async def minted(one: World) -> int:
    async with one.sessions() as session:
        return int(await session.scalar(select(func.sum(Transaction.amount))) or 0)


async def test_sixty_registrations_from_one_address_make_twenty_accounts(
    clean: None, store_settings: StoreSettings
) -> None:
    async with world(store_settings, REGISTRATIONS_PER_ADDRESS=20) as api:
        answers = await asyncio.gather(*(register(api.http) for _ in range(60)))
        assert Counter(answer.status_code for answer in answers) == {201: 20, 429: 40}
        for refused in [answer for answer in answers if answer.status_code == 429]:
            problem(refused, 429, "rate_limited")
            assert 1 <= int(refused.headers["retry-after"]) <= 24 * 3600
        assert await api.count(User) == 20
        assert await minted(api) == 20 * WELCOME
        assert (await register(api.http, network="203.0.113.8")).status_code == 201


async def test_addresses_of_one_ipv6_subscriber_count_together(
    clean: None, store_settings: StoreSettings
) -> None:
    async with world(store_settings, REGISTRATIONS_PER_ADDRESS=2) as api:
        statuses = [
            (await register(api.http, network=f"2001:db8:1:2::{number}")).status_code
            for number in range(4)
        ]
        assert statuses == [201, 201, 429, 429]


async def test_a_client_that_is_no_proxy_cannot_choose_its_address(
    clean: None, store_settings: StoreSettings
) -> None:
    async with world(store_settings, REGISTRATIONS_PER_ADDRESS=2) as api:
        transport = httpx.ASGITransport(app=api.api, client=("198.51.100.9", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as http:
            statuses = [
                (await register(http, network=f"203.0.113.{number}")).status_code
                for number in range(4)
            ]
        assert statuses == [201, 201, 429, 429]


async def test_two_processes_together_grant_no_more_than_the_credits_of_the_day(
    clean: None, store_settings: StoreSettings
) -> None:
    budget = {"WELCOME_CREDITS_PER_DAY": 7 * WELCOME + 1}
    async with world(store_settings, **budget) as one, world(store_settings, **budget) as two:
        answers = await asyncio.gather(
            *(register(api.http, network=f"203.0.113.{n}") for n in range(15) for api in (one, two))
        )
        assert {answer.status_code for answer in answers} == {201}
        assert await one.count(User) == 30
        assert await minted(one) == 7 * WELCOME
        withheld = sum([await counter(api) for api in (one, two)])
        assert withheld == 23


async def counter(api: World) -> float:
    """Accounts without credits, as Prometheus reads them."""
    page = (await api.http.get("/metrics")).text
    samples = [
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "atelier_welcome_credits_withheld_total"
    ]
    return sum(samples)


async def test_a_known_address_is_answered_as_an_unknown_one(api: World) -> None:
    first = await register(api.http, "known@example.com")
    again = await register(api.http, "Known@Example.com")
    other = await register(api.http, "other@example.com")
    assert first.status_code == again.status_code == other.status_code == 201
    assert again.content == first.content
    assert other.content == first.content.replace(b"known@", b"other@")
    apart = {"x-request-id", "ratelimit"}  # the latter counts all of an address
    headers = [
        {name: value for name, value in answer.headers.items() if name not in apart}
        for answer in (first, again, other)
    ]
    assert headers[0] == headers[1] == headers[2]
    assert set(first.json()["user"]) == {"object", "email"}
    assert await api.count(User) == 2


async def test_registering_a_known_address_changes_nothing_of_its_account(api: World) -> None:
    await register(api.http, "ada@example.com")
    thief = {"email": "ada@example.com", "password": "a password of the thief"}
    assert (await api.http.post("/v1/auth/register", json=thief)).status_code == 201
    assert (await api.log_in("ada@example.com"))["access_token"]
    login = {"username": "ada@example.com", "password": thief["password"]}
    problem(await api.http.post("/v1/auth/token", data=login), 401, "wrong_credentials")
    assert await minted(api) == WELCOME


async def test_no_address_is_kept_with_what_was_counted(api: World) -> None:
    await register(api.http, network="203.0.113.77")
    async with api.sessions() as session:
        subjects = (await session.scalars(select(DailyCounter.subject))).all()
    assert len(subjects) == 2
    assert not [subject for subject in subjects if "203.0" in subject]


async def test_where_registration_is_closed_nobody_registers(
    clean: None, store_settings: StoreSettings
) -> None:
    async with world(store_settings, REGISTRATION="closed") as api:
        problem(await register(api.http), 403, "registration_closed")
        assert await api.count(User) == 0


async def test_without_mails_no_password_is_reset(api: World) -> None:
    asked = await api.http.post("/v1/auth/password-reset", json={"email": "a@example.com"})
    problem(asked, 404, "mail_disabled")
    body = {"token": "reset_x", "password": PASSWORD}
    confirmed = await api.http.post("/v1/auth/password-reset/confirm", json=body)
    problem(confirmed, 404, "mail_disabled")


def test_addresses_are_not_verified_without_mails(store_settings: StoreSettings) -> None:
    with pytest.raises(ValueError, match="MAIL_URL"):
        settings_for(store_settings, REGISTRATION="verified")


async def test_old_counters_and_accounts_never_verified_are_deleted(
    api: World, maintenance: MaintenanceContext
) -> None:
    await register(api.http, "old@example.com")
    await register(api.http, "new@example.com")
    now = datetime.now(UTC)
    async with api.sessions.begin() as session:
        await session.execute(update(User).values(pending=True))
        await session.execute(
            update(User)
            .where(User.email == "old@example.com")
            .values(created_at=now - timedelta(days=8))
        )
        session.add(User(id="usr_x", email="x@example.com", password_hash="x", pending=True))
        session.add(DailyCounter(day=now.date() - timedelta(days=3), subject="s", n=1))
        await session.flush()
        await session.execute(
            update(User).where(User.id == "usr_x").values(created_at=now - timedelta(days=8))
        )
    # Not old@: the ledger has its credits, and keeps whom they were for.
    assert await sweep_accounts(maintenance) == 2
    async with api.sessions() as session:
        left = set(await session.scalars(select(User.email)))
        days = set(await session.scalars(select(DailyCounter.day)))
    assert left == {"old@example.com", "new@example.com"}
    assert now.date() - timedelta(days=3) not in days
