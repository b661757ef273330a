"""Addresses that are verified and passwords that are reset, by mails through a real SMTP server."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, update

from db.object_store import ObjectStore
from db.outbox import rows as outbox
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import AccountToken, Outbox, Transaction, User
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_mails import deliver_mails
from deployments.maintenance.relay_outbox import relay_outbox
from deployments.messaging.mail import Mailer
from deployments.settings import MailSettings
from serve_app.auth.register import MAILS_OF_NETWORK
from tests.support.http import PASSWORD, WELCOME, World, problem, world
from tests.support.mail_server import MailServer, mail_server, token_of
from tests.support.quick_passwords import hash_quickly

ADA = "ada@example.com"
OTHER_PASSWORD = "another password of hers"
FROM = "Atelier <no-reply@atelier.example>"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


def mail_settings(post: MailServer, **changed: Any) -> dict[str, Any]:
    return {"MAIL_URL": f"smtp://{post.host}:{post.port}", "MAIL_FROM": FROM, **changed}


@pytest.fixture
async def api(
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    store_settings: StoreSettings,
    post: MailServer,
) -> AsyncIterator[World]:
    """Where addresses are verified."""
    async with world(store_settings, REGISTRATION="verified", **mail_settings(post)) as found:
        yield found


@pytest.fixture
def keeper(maintenance: MaintenanceContext, post: MailServer) -> MaintenanceContext:
    return dataclasses.replace(maintenance, mailer=Mailer(MailSettings(**mail_settings(post))))


async def send(api: World, path: str, **body: str) -> httpx.Response:
    return await api.http.post(f"/v1/auth/{path}", json=body)


async def log_in(api: World, password: str = PASSWORD) -> httpx.Response:
    form = {"username": ADA, "password": password}
    return await api.http.post("/v1/auth/token", data=form)


async def minted(api: World) -> int:
    async with api.sessions() as session:
        return int(await session.scalar(select(func.sum(Transaction.amount))) or 0)


async def verified(api: World, keeper: MaintenanceContext, post: MailServer) -> None:
    """An account for Ada that can log in."""
    await send(api, "register", email=ADA, password=PASSWORD)
    await deliver_mails(keeper)
    answer = await send(api, "verify", token=token_of(post.got[-1]))
    assert answer.status_code == 200
    post.got.clear()


async def test_an_account_works_and_has_credits_once_its_address_is_verified(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    answer = await send(api, "register", email=ADA, password=PASSWORD)
    assert answer.status_code == 201
    assert answer.json()["verification_required"] is True
    problem(await log_in(api), 401, "wrong_credentials")
    assert await minted(api) == 0
    assert await deliver_mails(keeper) == 1
    (mail,) = post.to(ADA)
    assert mail["From"] == FROM
    token = token_of(mail)
    verified = await send(api, "verify", token=token)
    assert verified.status_code == 200
    assert verified.headers["cache-control"] == "no-store"
    form = {"username": ADA, "password": PASSWORD, **verified.json()}
    assert (await api.http.post("/v1/auth/token", data=form)).status_code == 200
    assert await minted(api) == WELCOME
    problem(await send(api, "verify", token=token), 401, "invalid_token")
    assert await minted(api) == WELCOME


async def test_a_token_used_many_times_at_once_grants_the_credits_once(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    await send(api, "register", email=ADA, password=PASSWORD)
    await deliver_mails(keeper)
    token = token_of(post.got[0])
    answers = await asyncio.gather(*(send(api, "verify", token=token) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert await minted(api) == WELCOME


async def test_who_registers_an_address_beside_its_owner_chooses_no_password(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    thieves = ("a password of the thief", "another of the thief")
    for password in (thieves[0], PASSWORD, thieves[1]):
        await send(api, "register", email=ADA, password=password)
        await deliver_mails(keeper)
    before, hers, after = map(token_of, post.to(ADA))
    assert (await send(api, "verify", token=hers)).status_code == 200
    for token in (before, after):
        problem(await send(api, "verify", token=token), 401, "invalid_token")
    for password in thieves:
        problem(await log_in(api, password), 401, "wrong_credentials")
    assert (await log_in(api)).status_code == 200
    assert await minted(api) == WELCOME


async def test_a_known_address_gets_the_same_answer_and_a_mail_that_says_so(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    await verified(api, keeper, post)
    known = await send(api, "register", email=ADA, password=OTHER_PASSWORD)
    unknown = await send(api, "register", email="eve@example.com", password=OTHER_PASSWORD)
    assert unknown.content == known.content.replace(b"ada@", b"eve@")
    assert known.status_code == unknown.status_code == 201
    assert await deliver_mails(keeper) == 2
    (to_ada,), (to_eve,) = post.to(ADA), post.to("eve@example.com")
    assert "You have an account" in to_ada["Subject"]
    assert "verify_" not in to_ada.get_content()
    assert token_of(to_eve)
    for email in (ADA, "eve@example.com"):
        form = {"username": email, "password": OTHER_PASSWORD}
        answer = await api.http.post("/v1/auth/token", data=form)
        problem(answer, 401, "wrong_credentials")


async def test_one_address_gets_few_mails_a_day(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    for _ in range(MAILS_OF_NETWORK + 3):
        assert (await send(api, "register", email=ADA, password=PASSWORD)).status_code == 201
    while await deliver_mails(keeper):
        pass
    assert len(post.to(ADA)) == MAILS_OF_NETWORK


async def test_a_password_is_reset_once_by_a_mailed_token_and_all_log_ins_end(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    await verified(api, keeper, post)
    old = (await log_in(api)).json()
    assert (await send(api, "password-reset", email=ADA)).status_code == 202
    await deliver_mails(keeper)
    token = token_of(post.got[0])
    done = await send(api, "password-reset/confirm", token=token, password=OTHER_PASSWORD)
    assert done.status_code == 200
    access = {"Authorization": f"Bearer {old['access_token']}"}
    problem(await api.http.get("/v1/me", headers=access), 401, "invalid_token")
    problem(await send(api, "refresh", refresh_token=old["refresh_token"]), 401, "invalid_token")
    problem(await log_in(api), 401, "wrong_credentials")
    assert (await log_in(api, OTHER_PASSWORD)).status_code == 200
    again = await send(api, "password-reset/confirm", token=token, password=PASSWORD)
    problem(again, 401, "invalid_token")


async def test_a_reset_of_an_address_without_an_account_is_answered_the_same(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    await verified(api, keeper, post)
    await send(api, "register", email="pending@example.com", password=PASSWORD)
    await deliver_mails(keeper)
    post.got.clear()
    people = (ADA, "nobody@example.com", "pending@example.com")
    answers = [await send(api, "password-reset", email=email) for email in people]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, b"null")}
    assert await deliver_mails(keeper) == 3
    assert [mail["To"] for mail in post.got] == [ADA]


@pytest.mark.parametrize(("path", "purpose"), [("verify", "verify"), ("reset", "reset")])
async def test_a_token_expires(
    api: World, keeper: MaintenanceContext, post: MailServer, path: str, purpose: str
) -> None:
    if purpose == "verify":
        await send(api, "register", email=ADA, password=PASSWORD)
    else:
        await verified(api, keeper, post)
        await send(api, "password-reset", email=ADA)
    await deliver_mails(keeper)
    token = token_of(post.got[0])
    async with api.sessions.begin() as session:
        await session.execute(update(AccountToken).values(expires_at=func.now()))
    if purpose == "verify":
        answer = await send(api, "verify", token=token)
    else:
        answer = await send(api, "password-reset/confirm", token=token, password=PASSWORD)
    problem(answer, 401, "invalid_token")


async def test_a_token_of_one_purpose_does_not_serve_the_other(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    await send(api, "register", email=ADA, password=PASSWORD)
    await deliver_mails(keeper)
    body = {"token": token_of(post.got[0]), "password": OTHER_PASSWORD}
    problem(await send(api, "password-reset/confirm", **body), 401, "invalid_token")


async def test_guesses_at_tokens_are_refused(api: World) -> None:
    answers = [await send(api, "verify", token=f"verify_{number}") for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2


async def test_tokens_and_addresses_are_nowhere_in_plain_text(
    api: World,
    keeper: MaintenanceContext,
    post: MailServer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    await send(api, "register", email=ADA, password=PASSWORD)
    await relay_outbox(keeper)
    async with api.sessions() as session:
        waiting = (await session.scalars(select(Outbox))).one()
    assert (waiting.topic, waiting.done_at) == (outbox.MAIL, None)
    await deliver_mails(keeper)
    token = token_of(post.got[0])
    async with api.sessions() as session:
        sent = (await session.scalars(select(Outbox))).one()
        row = (await session.scalars(select(AccountToken))).one()
    assert sent.payload == {"kind": "registered"}
    assert sent.done_at is not None
    assert token not in row.token_hash
    logged = "".join(capfd.readouterr())
    assert token not in logged and ADA not in logged and PASSWORD not in logged


async def test_a_mail_waits_while_the_server_is_away(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    await send(api, "register", email=ADA, password=PASSWORD)
    post.refusal = "451 come back later"
    assert await deliver_mails(keeper) == 1
    assert await deliver_mails(keeper) == 0
    async with api.sessions.begin() as session:
        row = (await session.scalars(select(Outbox))).one()
        assert (row.attempts, row.error, row.done_at) == (1, "recipient refused: 451", None)
        await session.execute(update(Outbox).values(available_at=func.now()))
    post.refusal = None
    await deliver_mails(keeper)
    assert (await send(api, "verify", token=token_of(post.got[0]))).status_code == 200


async def test_a_mail_that_is_refused_for_good_is_given_up(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    await send(api, "register", email=ADA, password=PASSWORD)
    post.refusal = "550 no such person"
    await deliver_mails(keeper)
    async with api.sessions() as session:
        row = (await session.scalars(select(Outbox))).one()
    assert row.done_at is not None
    assert row.error == "recipient refused: 550"


async def test_two_keepers_send_a_mail_once(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    for number in range(4):
        await send(api, "register", email=f"p{number}@example.com", password=PASSWORD)
    tried = await asyncio.gather(deliver_mails(keeper), deliver_mails(keeper))
    while await deliver_mails(keeper):
        pass
    assert sum(tried) == 4
    assert len({mail["To"] for mail in post.got}) == len(post.got) == 4


async def test_an_account_that_is_pending_is_taken_over_once_registration_is_open(
    api: World, store_settings: StoreSettings
) -> None:
    await send(api, "register", email=ADA, password="a password of before")
    async with world(store_settings) as opened:
        await send(opened, "register", email=ADA, password=PASSWORD)
        assert (await log_in(opened)).status_code == 200
        assert await minted(opened) == WELCOME
        assert await opened.count(User) == 1


async def test_a_stranger_who_asks_for_mails_leaves_the_owners_to_be_sent(
    api: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    body = {"email": ADA, "password": OTHER_PASSWORD}
    for _ in range(MAILS_OF_NETWORK + 2):
        await api.http.post(
            "/v1/auth/register", json=body, headers={"X-Forwarded-For": "198.51.100.7"}
        )
    await send(api, "register", email=ADA, password=PASSWORD)
    while await deliver_mails(keeper):
        pass
    assert len(post.to(ADA)) == MAILS_OF_NETWORK + 1


async def test_a_log_in_that_waits_while_the_password_is_reset_fails(
    api: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was looked up; it is not when the log-in would begin."""
    await send(api, "register", email=ADA, password=PASSWORD)
    async with api.sessions.begin() as session:
        await session.execute(update(User).values(pending=False))
    checked, reset = asyncio.Event(), asyncio.Event()
    matches = api.clients.passwords.matches

    async def slowly(*given: Any) -> bool:
        found = await matches(*given)
        checked.set()
        await reset.wait()
        return found

    monkeypatch.setattr(api.clients.passwords, "matches", slowly)
    waiting = asyncio.create_task(log_in(api))
    await checked.wait()
    async with api.sessions.begin() as session:
        await session.execute(update(User).values(password_hash="another"))
    reset.set()
    problem(await waiting, 401, "wrong_credentials")
