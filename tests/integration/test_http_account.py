"""The account in its owner's hands: another address, and everything of it as one ZIP file."""

import asyncio
import csv
import dataclasses
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from atelier_client import AsyncClient, Conflict, Unauthorized
from db.accounts import files
from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import User
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_mails import deliver_mails
from deployments.messaging.mail import Mailer
from deployments.settings import MailSettings
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator
from serve_app.limits.running_exports import RunningExports
from tests.integration.test_http_files import picture
from tests.integration.test_http_mailed_tokens import mail_settings
from tests.support.http import PASSWORD, Person, World, problem, served, world
from tests.support.mail_server import MailServer, mail_server, token_of
from tests.support.quick_passwords import hash_quickly
from tests.support.rich_account import FILE, PERSONA, PROMPT, fill
from tests.support.waiting import until

NEW = "ada.new@example.org"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 1000}


@pytest.fixture
async def ada(api: World) -> Person:
    return await api.person()


async def change(person: Person, email: str, password: str = PASSWORD) -> httpx.Response:
    return await person.patch("/v1/me", json={"email": email, "current_password": password})


# Another address


async def test_an_address_is_changed_by_the_password_where_no_mails_are_sent(
    api: World, ada: Person
) -> None:
    problem(await change(ada, NEW, "a guess at it"), 401, "wrong_credentials")
    answer = await change(ada, NEW.upper().replace("EXAMPLE.ORG", "example.org"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["email"] == NEW
    assert answer.json()["verification_required"] is False
    assert (await ada.get("/v1/me")).json()["email"] == NEW
    form = {"username": ada.email, "password": PASSWORD}
    problem(await api.http.post("/v1/auth/token", data=form), 401, "wrong_credentials")
    assert await api.log_in(NEW)
    assert (await change(ada, NEW)).status_code == 200, "the same one once more"


async def test_an_address_that_another_account_has_is_refused(api: World, ada: Person) -> None:
    other = await api.guest()
    problem(await change(ada, other.email), 409, "email_taken")
    assert (await ada.get("/v1/me")).json()["email"] == ada.email
    answers = await asyncio.gather(change(ada, NEW), change(await api.person(), NEW))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_key_changes_no_address_and_a_body_is_checked(api: World, ada: Person) -> None:
    key = (await ada.post("/v1/api-keys", json={"name": "x"})).json()["key"]
    body = {"email": NEW, "current_password": PASSWORD}
    refused = await api.http.patch("/v1/me", json=body, headers={"X-API-Key": key})
    problem(refused, 403, "scope_missing")
    for wrong in ({}, {"email": "nobody"}, {**body, "role": "admin"}):
        problem(await ada.patch("/v1/me", json=wrong), 422, "bad_input")


async def test_a_network_asks_for_few_changes_a_day(
    sessions: Sessions, redis: Redis, objects: ObjectStore, store_settings: StoreSettings
) -> None:
    async with world(store_settings, REGISTRATIONS_PER_ADDRESS=2) as api:
        ada, other = await api.person(), await api.guest()
        for _ in range(2):
            problem(await change(ada, other.email), 409, "email_taken")
        problem(await change(ada, other.email), 429, "rate_limited")


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture
async def mailed(
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    store_settings: StoreSettings,
    post: MailServer,
) -> AsyncIterator[World]:
    """An API where mails are sent."""
    async with world(store_settings, **mail_settings(post)) as found:
        yield found


@pytest.fixture
def keeper(maintenance: MaintenanceContext, post: MailServer) -> MaintenanceContext:
    return dataclasses.replace(maintenance, mailer=Mailer(MailSettings(**mail_settings(post))))


async def test_a_new_address_is_confirmed_by_a_mail_to_it_and_the_old_one_is_told(
    mailed: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    ada = await mailed.person()
    answer = (await change(ada, NEW)).json()
    assert (answer["user"]["email"], answer["verification_required"]) == (ada.email, True)
    assert await deliver_mails(keeper) == 1
    (mail,) = post.to(NEW)
    body = {"token": token_of(mail)}
    assert (await mailed.http.post("/v1/auth/verify", json=body)).status_code == 200
    assert (await ada.get("/v1/me")).json()["email"] == NEW
    problem(await mailed.http.post("/v1/auth/verify", json=body), 401, "invalid_token")
    assert await deliver_mails(keeper) == 1
    (told,) = post.to(ada.email)
    assert "another address" in told["Subject"]
    assert NEW not in told.get_content()


async def test_whose_address_is_taken_is_told_by_mail_and_to_its_owner_alone(
    mailed: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    ada, other = await mailed.person(), await mailed.guest()
    taken, free = await change(ada, other.email), await change(ada, NEW)
    assert (taken.status_code, taken.content) == (free.status_code, free.content)
    while await deliver_mails(keeper):
        pass
    (to_other,) = post.to(other.email)
    assert "You have an account" in to_other["Subject"]
    # The free one is registered by somebody else before its mail is answered.
    await mailed.http.post("/v1/auth/register", json={"email": NEW, "password": PASSWORD})
    late = await mailed.http.post("/v1/auth/verify", json={"token": token_of(post.to(NEW)[0])})
    problem(late, 409, "email_taken")
    assert (await ada.get("/v1/me")).json()["email"] == ada.email


async def test_no_mail_of_a_deleted_account_is_sent(
    mailed: World, keeper: MaintenanceContext, post: MailServer
) -> None:
    ada = await mailed.person()
    await change(ada, NEW)
    await mailed.http.post("/v1/auth/password-reset", json={"email": ada.email})
    assert (await ada.delete("/v1/me", json={"password": PASSWORD})).status_code == 202
    while await deliver_mails(keeper):
        pass
    assert post.got == []


# Everything as a ZIP file


async def exported(person: Person) -> zipfile.ZipFile:
    answer = await person.get("/v1/me/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return archive


def lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


async def test_an_export_holds_everything_and_no_secret(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    rich = await fill(ada, stores, loaded)
    archive = await exported(ada)
    assert json.loads(archive.read("account.json"))["email"] == ada.email
    jobs = lines(archive, "jobs.jsonl")
    done = next(job for job in jobs if job["id"] == rich.job_id)
    assert len(jobs) == 3
    assert done["input"]["text"] == f"a {PROMPT}"
    assert done["cost"]["charged"] == 6
    assert done["document"], "how it was made"
    (persona,) = json.loads(archive.read("personas.json"))
    assert persona["name"] == PERSONA
    assert persona["consent_records"][0]["statement"] == persona["consent"]
    (batch,) = lines(archive, "batches.jsonl")
    assert batch["id"] == rich.batch_id
    (key,) = json.loads(archive.read("api-keys.json"))
    assert key["hint"] == rich.api_key[-4:]
    moved = lines(archive, "transactions.jsonl")
    table = list(csv.DictReader(io.StringIO(archive.read("transactions.csv").decode())))
    assert [row["id"] for row in table] == [row["id"] for row in moved]
    assert {"grant", "hold", "capture"} <= {row["kind"] for row in moved}
    kept = lines(archive, "files.jsonl")
    assert {file["purpose"] for file in kept} == {"input", "reference", "output"}
    assert set(archive.namelist()) >= {file["path"] for file in kept}
    uploaded = next(file for file in kept if file["id"] == rich.file_ids[0])
    assert uploaded["path"].startswith(f"files/uploads/{FILE}.")
    assert archive.read(uploaded["path"]) == picture()
    assert json.loads(archive.read("missing.json")) == []
    async with api.sessions() as session:
        password_hash = (await session.get_one(User, ada.id)).password_hash
    whole = b"".join(archive.read(name) for name in archive.namelist())
    secret = (await ada.get("/v1/webhooks/secret")).json()["secret"]
    for word in (
        rich.api_key,
        secret,
        password_hash,
        "X-Amz-Signature",
        ada.tokens["refresh_token"],
    ):
        assert word.encode() not in whole


async def test_an_export_has_nothing_of_others(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    await fill(await api.person(), stores, loaded)
    archive = await exported(ada)
    assert lines(archive, "jobs.jsonl") == lines(archive, "files.jsonl") == []
    assert PROMPT.encode() not in b"".join(archive.read(name) for name in archive.namelist())


async def test_a_file_that_is_gone_is_named_and_the_others_come(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    rich = await fill(ada, stores, loaded)
    async with api.sessions() as session:
        gone = await files.get_owned(session, rich.file_ids[0], ada.id)
    assert gone is not None
    await api.clients.objects.delete([gone.object_key])
    archive = await exported(ada)
    (path,) = json.loads(archive.read("missing.json"))
    assert rich.file_ids[0] in path and path not in archive.namelist()
    assert len([name for name in archive.namelist() if name.startswith("files/")]) == 4


async def test_a_large_file_passes_in_pieces(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.object_store.PIECE_BYTES", 1000)
    content = picture("BMP") + bytes(20_000)
    sent = await ada.post("/v1/files", files={"file": ("big.bmp", content)})
    assert sent.status_code == 201, sent.text
    pieces: list[int] = []
    reading = api.clients.objects.reading

    async with reading(await only_key(api, ada)) as found:
        pieces = [len(piece) async for piece in found]
    assert max(pieces) <= 1000 and sum(pieces) == len(content)
    archive = await exported(ada)
    (name,) = [name for name in archive.namelist() if name.startswith("files/")]
    assert archive.read(name) == content


async def only_key(api: World, person: Person) -> str:
    async with api.sessions() as session:
        (row,) = await files.page(session, person.id, None, None, 2)
    return row.object_key


async def test_one_export_at_a_time_which_counts_as_a_stream(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def held(*_: Any) -> dict[str, Any]:
        reached.set()
        await go_on.wait()
        return {}

    monkeypatch.setattr("serve_app.account.records.account", held)
    first = asyncio.create_task(ada.get("/v1/me/export"))
    await reached.wait()
    problem(await ada.get("/v1/me/export"), 409, "export_running")
    assert api.clients.open_streams.count(ada.id) == 1
    go_on.set()
    assert (await first).status_code == 200
    assert api.clients.open_streams.count(ada.id) == 0
    assert (await ada.get("/v1/me/export")).status_code == 200
    for _ in range(3):
        assert (await api.http.head("/v1/me/export", headers=ada.headers)).status_code == 200
    assert (await ada.get("/v1/me/export")).status_code == 200, "HEAD leaves nothing counted"


async def test_an_export_whose_reader_leaves_is_ended_at_once_and_never_whole_in_memory(
    sessions: Sessions, redis: Redis, objects: ObjectStore, store_settings: StoreSettings
) -> None:
    async with served(store_settings) as api:
        ada = await api.person()
        content = picture("BMP") + os.urandom(30 << 20)
        sent = await ada.post("/v1/files", files={"file": ("big.bmp", content)})
        assert sent.status_code == 201, sent.text
        read: list[int] = []
        reading = api.clients.objects.reading

        @asynccontextmanager
        async def counting(key: str) -> AsyncIterator[AsyncIterator[bytes]]:
            async with reading(key) as pieces:

                async def counted() -> AsyncIterator[bytes]:
                    async for piece in pieces:
                        read.append(len(piece))
                        yield piece

                yield counted()

        api.clients.objects.reading = counting  # type: ignore[method-assign]
        async with api.http.stream("GET", "/v1/me/export", headers=ada.headers) as answer:
            beginning = b""
            async for piece in answer.aiter_raw():
                beginning += piece
                if len(beginning) > 1 << 20:
                    break
        await until(lambda: api.clients.open_streams.count(ada.id) == 0)
        assert sum(read) < len(content), "what nobody reads is not fetched"
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(beginning))
        assert (await ada.get("/v1/me/export")).status_code == 200


def test_an_export_that_fails_is_counted_no_longer() -> None:
    running = RunningExports()
    with pytest.raises(ZeroDivisionError), running.admit("usr_1"):
        _ = 1 / 0
    with running.admit("usr_1"), running.admit("usr_2"):
        pass


async def test_a_key_exports_nothing(api: World, ada: Person) -> None:
    key = (await ada.post("/v1/api-keys", json={"name": "x"})).json()["key"]
    refused = await api.http.get("/v1/me/export", headers={"X-API-Key": key})
    problem(refused, 403, "scope_missing")


# By the client


async def test_the_client_changes_exports_and_deletes(
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    store_settings: StoreSettings,
    tmp_path: Path,
) -> None:
    async with served(store_settings) as api:
        ada = await api.person()
        url, token = str(api.http.base_url), ada.tokens["access_token"]
        async with AsyncClient(url, token) as client:
            assert (await client.me()).email == ada.email
            with pytest.raises(Unauthorized):
                await client.me.update(NEW, current_password="a guess at it")
            changed = await client.me.update(NEW, current_password=PASSWORD)
            assert changed.user.email == NEW
            with api.clients.running_exports.admit(ada.id), pytest.raises(Conflict):
                await client.me.export(tmp_path)
            assert list(tmp_path.iterdir()) == []
            saved = await client.me.export(tmp_path)
            assert saved == tmp_path / "atelier-export.zip"
            assert json.loads(zipfile.ZipFile(saved).read("account.json"))["email"] == NEW
            await client.me.delete(PASSWORD)
            with pytest.raises(Unauthorized):
                await client.me()
        async with api.sessions() as session:
            assert (await session.scalars(select(User.deleted_at))).one() is not None
