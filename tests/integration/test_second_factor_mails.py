"""What the owner of a second factor is told by mail, and that a mailed token is none."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from db.accounts import passkeys
from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_mails import deliver_mails
from deployments.messaging.mail import Mailer
from deployments.settings import MailSettings
from tests.support.admin_command import Admin
from tests.support.http import PASSWORD, Person, World, problem, world
from tests.support.mail_server import MailServer, mail_server, token_of
from tests.support.quick_passwords import hash_quickly
from tests.support.totp import App, Clock, enabled

OTHER_PASSWORD = "another password of hers"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture
def mail(post: MailServer) -> dict[str, str]:
    return {"MAIL_URL": f"smtp://{post.host}:{post.port}", "MAIL_FROM": "no-reply@atelier.example"}


@pytest.fixture
async def api(
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    store_settings: StoreSettings,
    mail: dict[str, str],
) -> AsyncIterator[World]:
    async with world(store_settings, REGISTRATION="open", **mail) as found:
        yield found


@pytest.fixture
def keeper(maintenance: MaintenanceContext, mail: dict[str, str]) -> MaintenanceContext:
    return dataclasses.replace(maintenance, mailer=Mailer(MailSettings(**mail)))


@pytest.fixture
async def ada(api: World, keeper: MaintenanceContext, post: MailServer) -> Person:
    """Her mailbox is empty."""
    person = await api.person()
    while await deliver_mails(keeper):
        pass
    post.got.clear()
    return person


@pytest.fixture
async def app(ada: Person, monkeypatch: pytest.MonkeyPatch) -> App:
    return await enabled(ada, Clock(monkeypatch))


async def subjects(keeper: MaintenanceContext, post: MailServer, person: Person) -> set[str]:
    while await deliver_mails(keeper):
        pass
    return {str(mail["Subject"]) for mail in post.to(person.email)}


async def log_in(api: World, person: Person, password: str = PASSWORD, **more: str) -> int:
    form = {"username": person.email, "password": password, **more}
    return (await api.http.post("/v1/auth/token", data=form)).status_code


async def test_the_owner_is_told_of_what_is_changed(
    api: World, ada: Person, app: App, keeper: MaintenanceContext, post: MailServer
) -> None:
    assert await subjects(keeper, post, ada) == {"Your account has a second factor"}
    post.got.clear()
    assert await log_in(api, ada, otp=app.recovery_codes[0]) == 200
    assert await log_in(api, ada, otp=app.recovery_codes[0]) == 401
    for _ in range(9):
        await ada.delete("/v1/me/totp", json={"password": PASSWORD, "otp": app.wrong_code()})
    assert await subjects(keeper, post, ada) == {"A recovery code of your account was used"}
    post.got.clear()
    body = {"password": PASSWORD, "otp": app.wrong_code()}
    problem(await ada.delete("/v1/me/totp", json=body), 401, "invalid_otp")
    assert await subjects(keeper, post, ada) == {"Somebody knows your password"}
    post.got.clear()
    body["otp"] = app.recovery_codes[1]
    renewed = await ada.post("/v1/me/totp/recovery-codes", json=body)
    assert await subjects(keeper, post, ada) == {"Your account has new recovery codes"}
    post.got.clear()
    body["otp"] = renewed.json()["recovery_codes"][0]
    assert (await ada.delete("/v1/me/totp", json=body)).status_code == 204
    assert await subjects(keeper, post, ada) == {"The second factor of your account was removed"}


async def test_the_owner_is_told_of_what_an_operator_removes(
    api: World,
    ada: Person,
    app: App,
    keeper: MaintenanceContext,
    post: MailServer,
    mail: dict[str, str],
    atelier_admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await subjects(keeper, post, ada)
    post.got.clear()
    for name, value in mail.items():
        monkeypatch.setenv(name, value)
    async with api.sessions.begin() as session:
        await passkeys.add(session, ada.id, "my phone", b"one", b"key", 0)
    await atelier_admin.done("users", "remove-second-factor", ada.email)
    assert await subjects(keeper, post, ada) == {
        "The second factor of your account was removed",
        "A passkey of your account was removed",
    }


async def test_a_reset_tells_what_else_logs_in_and_since_when(
    api: World, ada: Person, app: App, keeper: MaintenanceContext, post: MailServer
) -> None:
    async with api.sessions.begin() as session:
        key = await passkeys.add(session, ada.id, "call http://evil", b"one", b"key", 0)
        assert key is not None
        key.created_at = datetime(2025, 3, 9, 12, tzinfo=UTC)
    await subjects(keeper, post, ada)
    post.got.clear()
    await api.http.post("/v1/auth/password-reset", json={"email": ada.email})
    await subjects(keeper, post, ada)
    text = post.got[0].get_content()
    assert "a passkey, since 2025-03-09" in text and "an app that shows codes, since 20" in text
    assert "evil" not in text, "somebody else may have chosen the name"
    body = {"token": token_of(post.got[0]), "password": OTHER_PASSWORD}
    reset = await api.http.post("/v1/auth/password-reset/confirm", json=body)
    of_app, of_key = reset.json()["factors"]
    assert (of_app["kind"], of_app["id"], of_app["name"]) == ("totp", None, None)
    assert datetime.fromisoformat(of_app["added_at"]) > key.created_at
    assert (of_key["kind"], of_key["id"]) == ("passkey", key.id)
    assert datetime.fromisoformat(of_key["added_at"]) == key.created_at


async def test_a_password_that_is_reset_by_mail_does_not_do_without_the_code(
    api: World, ada: Person, app: App, keeper: MaintenanceContext, post: MailServer
) -> None:
    await subjects(keeper, post, ada)
    post.got.clear()
    await api.http.post("/v1/auth/password-reset", json={"email": ada.email})
    await subjects(keeper, post, ada)
    body = {"token": token_of(post.got[0]), "password": OTHER_PASSWORD}
    reset = await api.http.post("/v1/auth/password-reset/confirm", json=body)
    assert reset.json().keys() == {"device_token", "factors"}
    device = reset.json()["device_token"]
    form = {"username": ada.email, "password": OTHER_PASSWORD, "device_token": device}
    problem(await api.http.post("/v1/auth/token", data=form), 401, "otp_required")
    # Nor does it forget what was guessed before.
    for _ in range(10):
        await log_in(api, ada, OTHER_PASSWORD, otp=app.wrong_code())
    await api.http.post("/v1/auth/password-reset", json={"email": ada.email})
    await subjects(keeper, post, ada)
    (second,) = [mail for mail in post.got[1:] if mail["Subject"] == "Set a new password"]
    body = {"token": token_of(second), "password": PASSWORD}
    reset = await api.http.post("/v1/auth/password-reset/confirm", json=body)
    device = reset.json()["device_token"]
    assert await log_in(api, ada, otp=app.code(), device_token=device) == 429
