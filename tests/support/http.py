"""The API over its real stores, spoken to in process: what the HTTP tests share."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import func, select

from billing import ledger
from billing.settings import StripeSettings
from billing.settlement import Settlement, settle
from db.accounts import users
from db.ids import new_id
from db.outbox import rows as outbox
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import IdempotencyKey, Job, Outbox, Role, Transaction, User
from deployments.settings import MailSettings
from serve_app.api import create_api
from serve_app.auth import refresh
from serve_app.resources import Clients
from serve_app.settings import AuthSettings, LimitSettings, Settings
from tests.support.ledger import entries_sum
from tests.support.reused_api import reused_api

SECRET = "a secret of the tests, longer than thirty-two bytes"
WELCOME = 10
STREAM_PATIENCE_S = 90
PASSWORD = "correct horse battery"
GENERATORS = ["deployments.generators.image"]
# For tests in which nothing waits for what is kept to end by itself.
IDENTITIES_KEPT: dict[str, Any] = {
    "IDENTITY_CACHE_SECONDS": 3600,
    "RATE_LIMIT_PER_MINUTE": 1_000_000,
}


def settings_for(stores: StoreSettings, **changed: Any) -> Settings:
    """The settings of a test's API; ``changed`` by environment name.

    All tests come from one address: the bounds of registrations, which the tests of accounts set
    themselves, are out of the way of the others. Refusals are not held back. Keys and log-ins are
    looked up each time: many tests change them by hand, and an API hears that a moment later.
    """
    auth = {
        "JWT_SECRET": SECRET,
        "IDENTITY_CACHE_SECONDS": 0,
        "WELCOME_CREDITS": WELCOME,
        "REGISTRATIONS_PER_ADDRESS": 100_000,
        "WELCOME_CREDITS_PER_DAY": 10**9,
        **changed,
    }
    return Settings(
        stores,
        AuthSettings(**auth),
        LimitSettings(**{"REFUSAL_DELAY_S": 0.0, **changed}),
        StripeSettings(**changed),
        MailSettings(**changed),
    )


@asynccontextmanager
async def running(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of ``api``, between its start and its end."""
    async with api.router.lifespan_context(api):
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api.test", timeout=90
        ) as client:
            yield client


@asynccontextmanager
async def world(stores: StoreSettings, **changed: Any) -> AsyncIterator["World"]:
    """The API with ``changed`` settings."""
    api = create_api(GENERATORS, settings_for(stores, **changed))
    async with running(api) as client:
        yield World(api, client)


@contextmanager
def without_redis(stores: StoreSettings, *, silent: bool = False) -> Iterator[StoreSettings]:
    """A Redis that refuses every connection or, ``silent``, takes it and never answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if silent:
            taken.listen(1000)
        url = SecretStr(f"redis://127.0.0.1:{taken.getsockname()[1]}")
        yield stores.model_copy(update={"redis_url": url})


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are for the tests' own process


class Door:
    """A real server before an API, at one address; shut, it takes no connection.

    ``certificate`` is a file with a certificate and its key, for TLS.
    """

    def __init__(self, api: FastAPI, certificate: Path | None = None) -> None:
        self._api = api
        self._certificate = certificate
        self._port = 0
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self._port}"

    async def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._api,
            log_config=None,
            timeout_graceful_shutdown=2,
            ssl_certfile=self._certificate,
        )
        server = _Server(config)
        self._server, self._serving = server, asyncio.create_task(server.serve([listener]))
        async with asyncio.timeout(90):
            while not server.started:
                assert not self._serving.done(), "the server ended"
                await asyncio.sleep(0.02)

    async def shut(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._server = self._serving = None


@asynccontextmanager
async def served(
    stores: StoreSettings,
    generators: Sequence[str] = GENERATORS,
    certificate: Path | None = None,
    **changed: Any,
) -> AsyncIterator["World"]:
    """The same behind a real server: httpx gives an answer in process only once it is whole."""
    with reused_api(generators, settings_for(stores, **changed)) as api:
        door = Door(api, certificate)
        try:
            await door.open()
            async with httpx.AsyncClient(base_url=door.url, timeout=90) as client:
                yield World(api, client, door)
        finally:
            await door.shut()


class World:
    """A running API, and people in it; ``door`` where it is ``served``."""

    def __init__(self, api: FastAPI, http: httpx.AsyncClient, door: Door | None = None) -> None:
        self.api = api
        self.http = http
        self.door = door

    @property
    def clients(self) -> Clients:
        found: Clients = self.api.state.clients
        return found

    @property
    def sessions(self) -> Sessions:
        return self.clients.sessions

    async def person(self, credits: int = 0) -> "Person":
        """Somebody who registered and logged in; ``credits`` beside the welcome ones."""
        email = f"{new_id('p')}@example.com".lower()
        answer = await self.http.post(
            "/v1/auth/register", json={"email": email, "password": PASSWORD}
        )
        assert answer.status_code == 201, answer.text
        tokens = await self.log_in(email)
        person = Person(self, "", email, tokens)
        person.id = user_id = (await person.get("/v1/me")).json()["id"]
        if credits:
            async with self.sessions.begin() as session:
                await ledger.grant(session, user_id, credits, new_id("test"), "more")
        return person

    async def guest(self, role: Role = "user") -> "Person":
        """The same without a password, whose hashing takes longer than all else in a test."""
        email, auth = f"{new_id('g')}@example.com".lower(), self.clients.settings.auth
        async with self.sessions.begin() as session:
            user = await users.add(session, email, "no password", role)
            assert user is not None
            await ledger.grant(session, user.id, auth.welcome_credits, new_id("test"), "welcome")
            login = await refresh.issue(session, user.id, auth.refresh_token_seconds)
        access = self.clients.tokens.sign(user.id, login.family_id)
        return Person(self, user.id, email, {"access_token": access, "refresh_token": login.token})

    async def log_in(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        answer = await self.http.post(
            "/v1/auth/token", data={"username": email, "password": password}
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def assert_adds_up(self, user_id: str) -> tuple[int, int]:
        """The balance and what is held, which must equal their entries."""
        async with self.sessions() as session:
            user = await session.get_one(User, user_id)
            assert user.balance == await entries_sum(session, ledger.available(user_id))
            assert user.held == await entries_sum(session, ledger.held(user_id))
            return user.balance, user.held

    async def end(
        self, job_id: str, status: str, share: float = 0.0, outputs: Sequence[dict[str, Any]] = ()
    ) -> Job:
        """What a replica does when a job has ended, less the telling."""
        async with self.sessions.begin() as session:
            job = await session.get_one(Job, job_id)
            ended = await settle(session, job, Settlement(status, share, list(outputs)))
        assert ended is not None
        return ended

    async def movements(self, user_id: str) -> Counter[str]:
        """How many transactions of each kind, beside the welcome."""
        query = select(Transaction.kind).where(Transaction.user_id == user_id)
        async with self.sessions() as session:
            return Counter(await session.scalars(query.where(Transaction.kind != "grant")))

    async def notices(self) -> list[str]:
        """The ends that the outbox tells of, told or not."""
        query = select(Outbox.natural_key).where(Outbox.topic == outbox.NOTIFY)
        async with self.sessions() as session:
            return list(await session.scalars(query.order_by(Outbox.natural_key)))

    async def count(self, table: type, user_id: str | None = None) -> int:
        """Rows of ``table`` (of a user)."""
        query = select(func.count()).select_from(table)
        if user_id is not None:
            query = query.where(table.user_id == user_id)  # type: ignore[attr-defined]
        async with self.sessions() as session:
            return int(await session.scalar(query) or 0)

    async def nothing_happened(self, user_id: str) -> bool:
        """No job, no credits moved, nothing to deliver, nothing queued, no key remembered."""
        async with self.sessions() as session:
            held = await session.scalar(select(User.held).where(User.id == user_id))
            moved = await session.scalar(
                select(func.count()).where(
                    Transaction.user_id == user_id, Transaction.kind != "grant"
                )
            )
        queued = [(await queue.counts()).waiting for queue in self.clients.queues.values()]
        return (held, moved, sum(queued)) == (0, 0, 0) and [
            await self.count(Job, user_id),
            await self.count(Outbox),
            await self.count(IdempotencyKey, user_id),
        ] == [0, 0, 0]


class Person:
    """Somebody with an access token."""

    def __init__(self, world: World, user_id: str, email: str, tokens: dict[str, Any]) -> None:
        self.world = world
        self.id = user_id
        self.email = email
        self.tokens = tokens

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self._send("GET", path, **more)

    async def post(self, path: str, **more: Any) -> httpx.Response:
        return await self._send("POST", path, **more)

    async def put(self, path: str, **more: Any) -> httpx.Response:
        return await self._send("PUT", path, **more)

    async def patch(self, path: str, **more: Any) -> httpx.Response:
        return await self._send("PATCH", path, **more)

    async def delete(self, path: str, **more: Any) -> httpx.Response:
        return await self._send("DELETE", path, **more)

    async def submit(self, prompt: str = "a red circle", **headers: str) -> httpx.Response:
        body = {"generator": "image", "input": {"prompt": prompt}}
        return await self.post("/v1/jobs", json=body, headers=headers)

    async def job(self, prompt: str = "a red circle") -> str:
        """The id of a new job."""
        answer = await self.submit(prompt)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return await self.world.http.request(method, path, headers=headers, **more)


async def patiently(
    send: Callable[..., Awaitable[httpx.Response]], *given: Any, **headers: str
) -> httpx.Response:
    """Post as a client that is told to come back later, as a busy machine may say, and does so with
    the same key."""
    headers |= {"Idempotency-Key": new_id("key")}
    while (answer := await send(*given, **headers)).status_code == 503:
        assert answer.headers["retry-after"]
        await asyncio.sleep(0.2)
    return answer


@dataclass(frozen=True)
class Told:
    """A server-sent event."""

    name: str
    data: dict[str, Any]
    id: str | None


class Stream:
    """The events as an ``EventSource`` of a browser understands them."""

    def __init__(self, answer: httpx.Response) -> None:
        self._events = self._parsed(answer)

    async def next(self) -> Told:
        async with asyncio.timeout(STREAM_PATIENCE_S):
            return await anext(self._events)

    async def rest(self) -> list[Told]:
        """Everything until the server ends the stream."""
        async with asyncio.timeout(STREAM_PATIENCE_S):
            return [event async for event in self._events]

    async def silence(self, seconds: float) -> None:
        """Nothing comes for that long; the stream cannot be read afterwards."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await anext(self._events)

    @staticmethod
    async def _parsed(answer: httpx.Response) -> AsyncIterator[Told]:
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                assert name not in fields
                fields[name] = value
            elif fields:
                assert fields.keys() - {"id"} == {"event", "data"}
                yield Told(fields["event"], json.loads(fields["data"]), fields.get("id"))
                fields = {}
        assert not fields, "the last event was cut off"


@asynccontextmanager
async def listening(person: Person, job_id: str, last: str | None = None) -> AsyncIterator[Stream]:
    """The event stream of a job, resumed behind ``last``; needs a ``served`` world."""
    resumed = {"Last-Event-ID": last} if last is not None else {}
    headers = httpx.Headers({**person.headers, **resumed}, encoding="latin-1")
    path = f"/v1/jobs/{job_id}/events"
    async with person.world.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in answer.headers["cache-control"]
        yield Stream(answer)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, checked for what every one of them has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"].endswith(code)
    assert body["title"] and body["detail"]
    assert body["instance"] == answer.url.path
    for word in ("Traceback", "SELECT", "sqlalchemy", "psycopg", ".py", "site-packages"):
        assert word not in answer.text
    return body
