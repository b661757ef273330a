"""Another TOTP_KEY: what the one before sealed opens, and is sealed anew when it is used."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from pydantic import ValidationError

from db.accounts import totp
from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import TotpFactor
from serve_app.auth import sealed_secrets
from serve_app.settings import AuthSettings
from tests.support.http import PASSWORD, SECRET, Person, World, problem, world
from tests.support.quick_passwords import hash_quickly
from tests.support.totp import STEP_S, App, Clock, enabled, enrol
from tests.support.waiting import until_locks_are_waited_for

OLD = {"TOTP_KEY": "the key of last year " * 2}
NEW = {"TOTP_KEY": "the key of this year " * 2}
BOTH = {**NEW, "TOTP_KEY_PREVIOUS": OLD["TOTP_KEY"]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def stores(
    sessions: Sessions, objects: ObjectStore, store_settings: StoreSettings
) -> StoreSettings:
    """Clean ones, for several APIs one after another."""
    return store_settings


@pytest.fixture
async def ada(stores: StoreSettings) -> Person:
    async with world(stores, **OLD) as api:
        return await api.person()


async def log_in(api: World, person: Person, otp: str) -> httpx.Response:
    form = {"username": person.email, "password": PASSWORD, "otp": otp}
    return await api.http.post("/v1/auth/token", data=form)


async def sealed(sessions: Sessions, person: Person) -> bytes:
    async with sessions() as session:
        return (await session.get_one(TotpFactor, person.id)).sealed_secret


async def used_to_be_enabled(
    stores: StoreSettings, ada: Person, clock: Clock, **settings: str
) -> App:
    async with world(stores, **settings) as api:
        return await enabled(Person(api, ada.id, ada.email, ada.tokens), clock)


async def test_a_secret_of_the_previous_key_opens_and_is_sealed_anew_when_it_is_used(
    stores: StoreSettings, sessions: Sessions, ada: Person, clock: Clock
) -> None:
    app = await used_to_be_enabled(stores, ada, clock, **OLD)
    before = await sealed(sessions, ada)
    async with world(stores, **NEW) as api:
        problem(await log_in(api, ada, app.code()), 401, "invalid_otp")
    async with world(stores, **BOTH) as api:
        problem(await log_in(api, ada, app.wrong_code()), 401, "invalid_otp")
        assert await sealed(sessions, ada) == before, "a guess is no use"
        assert (await log_in(api, ada, app.code())).status_code == 200
        after = await sealed(sessions, ada)
        clock.now += STEP_S
        assert (await log_in(api, ada, app.code())).status_code == 200
        assert await sealed(sessions, ada) == after != before, "once is enough"
    async with world(stores, **NEW) as api:
        clock.now += STEP_S
        assert (await log_in(api, ada, app.code())).status_code == 200


async def test_a_key_that_is_to_come_opens_before_it_seals(
    stores: StoreSettings, sessions: Sessions, ada: Person, clock: Clock
) -> None:
    """The first of the two deployments of a rotation."""
    app = await used_to_be_enabled(stores, ada, clock, **BOTH)
    coming = {**OLD, "TOTP_KEY_PREVIOUS": NEW["TOTP_KEY"]}
    async with world(stores, **coming) as api:
        assert (await log_in(api, ada, app.code())).status_code == 200


async def test_what_jwt_secret_sealed_moves_to_a_key_of_its_own(
    stores: StoreSettings, ada: Person, clock: Clock
) -> None:
    app = await used_to_be_enabled(stores, ada, clock)
    async with world(stores, **NEW, TOTP_KEY_PREVIOUS=SECRET) as api:
        assert (await log_in(api, ada, app.code())).status_code == 200
    clock.now += STEP_S
    async with world(stores, **NEW) as api:
        assert (await log_in(api, ada, app.code())).status_code == 200


async def test_an_app_that_was_enrolled_before_is_confirmed_after(
    stores: StoreSettings, sessions: Sessions, ada: Person, clock: Clock
) -> None:
    async with world(stores, **OLD) as api:
        app = await enrol(Person(api, ada.id, ada.email, ada.tokens), clock)
    async with world(stores, **BOTH) as api:
        her = Person(api, ada.id, ada.email, ada.tokens)
        answer = await her.post("/v1/me/totp/confirm", json={"code": app.code()})
        assert answer.status_code == 200, answer.text
    clock.now += STEP_S
    async with world(stores, **NEW) as api:
        assert (await log_in(api, ada, app.code())).status_code == 200


async def test_an_app_that_is_enrolled_while_the_last_is_sealed_anew_stays(
    stores: StoreSettings, sessions: Sessions, ada: Person, clock: Clock
) -> None:
    async with world(stores, **OLD) as api:
        first = await enrol(Person(api, ada.id, ada.email, ada.tokens), clock)
    async with world(stores, **BOTH) as api:
        her = Person(api, ada.id, ada.email, ada.tokens)
        before = await sealed(sessions, ada)
        async with api.sessions.begin() as session:
            assert await totp.enrol(session, ada.id, b"another secret")
        assert await sealed(sessions, ada) != before
        async with api.sessions.begin() as session:
            assert not await totp.reseal(session, ada.id, before, b"the first one")
        assert await sealed(sessions, ada) == b"another secret"
        problem(
            await her.post("/v1/me/totp/confirm", json={"code": first.code()}), 401, "invalid_otp"
        )


async def test_of_log_ins_at_once_each_finds_a_secret(
    stores: StoreSettings, sessions: Sessions, ada: Person, clock: Clock
) -> None:
    app = await used_to_be_enabled(stores, ada, clock, **OLD)
    async with world(stores, **BOTH) as api:
        her = Person(api, ada.id, ada.email, ada.tokens)
        body = {"password": PASSWORD, "otp": app.code()}
        async with api.sessions.begin() as session:
            assert await totp.lock(session, ada.id)
            orders = [
                asyncio.create_task(her.post("/v1/me/totp/recovery-codes", json=body))
                for _ in range(2)
            ]
            await until_locks_are_waited_for(api.sessions, 2)
        statuses = Counter([answer.status_code for answer in await asyncio.gather(*orders)])
        assert statuses == {200: 1, 401: 1}
    clock.now += STEP_S
    async with world(stores, **NEW) as api:
        assert (await log_in(api, ada, app.code())).status_code == 200


def settings(**changed: str) -> AuthSettings:
    return AuthSettings(**{"JWT_SECRET": SECRET, **changed})


def test_the_previous_key_opens_and_never_seals() -> None:
    kept = sealed_secrets.seal(settings(**OLD), "usr_1", "a secret")
    opened = sealed_secrets.unseal(settings(**BOTH), "usr_1", kept)
    assert opened == sealed_secrets.Opened("a secret", is_current=False)
    anew = sealed_secrets.seal(settings(**BOTH), "usr_1", "a secret")
    opened = sealed_secrets.unseal(settings(**NEW), "usr_1", anew)
    assert opened == sealed_secrets.Opened("a secret", is_current=True)
    for found, user_id in ((NEW, "usr_1"), (BOTH, "usr_2")):
        with pytest.raises(sealed_secrets.CannotOpen):
            sealed_secrets.unseal(settings(**found), user_id, kept)


def test_a_short_previous_key_is_refused_and_an_empty_one_is_none() -> None:
    with pytest.raises(ValidationError, match="TOTP_KEY_PREVIOUS"):
        settings(TOTP_KEY_PREVIOUS="short")
    assert settings(TOTP_KEY_PREVIOUS="").totp_key_previous is None
