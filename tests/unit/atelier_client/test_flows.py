"""What the flows do, step by step, without a service: retries, events, downloads, inputs."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from atelier_client import (
    ApiError,
    AsyncClient,
    Client,
    ConnectionFailed,
    DownloadCorrupted,
    NotFound,
    RateLimited,
    Retries,
    Unavailable,
    drivers,
)
from atelier_client.downloads import download, place_in
from atelier_client.drivers import Connection, SyncDriver
from atelier_client.events import DoneEvent, EventParser, JobEvent, ProgressEvent, ServerSentEvent

Answer = httpx.Response | Exception
USER = {
    "id": "usr_1", "object": "user", "email": "a@example.com", "role": "user",
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
PROBLEM = {"status": 503, "title": "Unavailable", "detail": "a store does not answer", "code": "u"}


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause, none of which is waited for."""
    found: list[float] = []
    # Not of the module time, which other threads of this process use as well.
    monkeypatch.setattr(drivers, "time", SimpleNamespace(sleep=found.append))

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(drivers, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    return found


class Wire:
    """Answers requests in turn; an answer too few fails the test."""

    def __init__(self, *answers: Answer) -> None:
        self._left = iter(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self._left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **more: Any) -> Client:
        return Client("http://service/", "atl_key", transport=httpx.MockTransport(self), **more)


def busy(status: int = 503, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=PROBLEM, headers=headers)


def good(content: Any = USER) -> httpx.Response:
    return httpx.Response(200, json=content)


def test_what_may_work_in_a_moment_is_sent_again(slept: list[float]) -> None:
    wire = Wire(busy(502), busy(503), httpx.ConnectError("no"), busy(504), good())
    assert wire.client().me().email == "a@example.com"
    assert slept == [0.5, 1.0, 2.0, 4.0]


def test_the_last_error_is_raised(slept: list[float]) -> None:
    wire = Wire(*[busy()] * 3)
    with pytest.raises(Unavailable, match="a store does not answer") as gone:
        wire.client(retries=Retries(attempts=3)).me()
    assert (gone.value.status, gone.value.code, len(slept)) == (503, "u", 2)
    with pytest.raises(ConnectionFailed, match="GET /v1/me: refused"):
        Wire(httpx.ConnectError("refused")).client(retries=Retries(attempts=1)).me()


def test_retry_after_is_kept_to_unless_it_is_too_long(slept: list[float]) -> None:
    wire = Wire(busy(429, **{"Retry-After": "7"}), good())
    wire.client().me()
    assert slept == [7.0]
    wire = Wire(busy(429, **{"Retry-After": "61"}))
    with pytest.raises(RateLimited) as limited:
        wire.client().me()
    assert limited.value.retry_after_s == 61
    date = {"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}
    Wire(busy(**date), good()).client().me()
    assert slept == [7.0, 0.5], "a date that is over asks for nothing"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 500])
def test_a_refusal_is_not_sent_again(status: int, slept: list[float]) -> None:
    wire = Wire(httpx.Response(status, text="<h1>a proxy's page</h1>"))
    with pytest.raises(ApiError, match="a proxy's page") as refused:
        wire.client().me()
    assert (refused.value.status, refused.value.code, slept) == (status, "", [])


def test_a_wrong_address_is_told_at_once(slept: list[float]) -> None:
    with Client("service", "atl_key") as client, pytest.raises(ConnectionFailed, match="protocol"):
        client.me()
    assert slept == []


def test_repeats_of_a_creation_have_one_key_and_others_another(slept: list[float]) -> None:
    secret = {"secret": "whsec_x", "created_at": "2026-01-01T00:00:00Z", "previous_until": None}
    wire = Wire(httpx.ReadError("lost"), good(secret), good(secret))
    client = wire.client()
    client.webhooks.roll_secret()
    client.webhooks.roll_secret()
    first, again, other = (request.headers["idempotency-key"] for request in wire.requests)
    assert first == again != other


def test_a_test_delivery_is_sent_once(slept: list[float]) -> None:
    with pytest.raises(ConnectionFailed):
        Wire(httpx.ReadError("lost")).client().webhooks.test("http://here")


async def test_the_awaited_client_takes_the_same_steps(slept: list[float]) -> None:
    wire = Wire(busy(), good())
    transport = httpx.MockTransport(wire)
    async with AsyncClient("http://service", "atl_key", transport=transport) as client:
        assert (await client.me()).id == "usr_1"
    assert slept == [0.5]
    assert [request.headers["authorization"] for request in wire.requests] == ["Bearer atl_key"] * 2


def test_a_signed_link_is_sent_without_the_key(tmp_path: Path) -> None:
    content = b"a picture"
    wire = Wire(httpx.Response(200, content=content))
    link = "http://store/signed?signature=a%2Fb"
    path = driver(wire).run(download(link, digest(content), tmp_path / "a.png"))
    assert path.read_bytes() == content
    assert str(wire.requests[0].url) == link
    assert "authorization" not in wire.requests[0].headers


def driver(wire: Callable[[httpx.Request], httpx.Response]) -> SyncDriver:
    http = httpx.Client(transport=httpx.MockTransport(wire))
    return SyncDriver(http, Connection("http://service", "atl_key", Retries()))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Broken(httpx.SyncByteStream):
    """A body that breaks off."""

    def __iter__(self) -> Any:
        yield b"a pict"
        raise httpx.ReadError("lost")


def test_a_download_that_breaks_off_begins_again(tmp_path: Path) -> None:
    whole = httpx.Response(200, content=b"a picture")
    wire = Wire(httpx.Response(200, stream=Broken()), whole)
    driver(wire).run(download("http://store/x", digest(b"a picture"), tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes() == b"a picture"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([httpx.Response(200, content=b"another")], DownloadCorrupted),
        ([httpx.Response(200, stream=Broken()) for _ in range(3)], ConnectionFailed),
        ([httpx.Response(404, text="<Error>NoSuchKey</Error>")], NotFound),
    ],
)
def test_a_download_is_whole_or_not_there(
    answers: list[httpx.Response], error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"an older one")
    with pytest.raises(error):
        driver(Wire(*answers)).run(
            download("http://store/x", digest(b"a picture"), tmp_path / "a.png")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"an older one"


def test_a_name_of_the_services_leads_out_of_no_folder(tmp_path: Path) -> None:
    assert place_in(tmp_path, "../../etc/a.png") == tmp_path / "a.png"
    assert place_in(tmp_path / "b.png", "a.png") == tmp_path / "b.png"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_parsed_in_pieces_of_any_size(size: int) -> None:
    sent = (
        ': ping\n\nevent: status\ndata: {"a": 1}\nid: 1-0\n\ndata: one\r\ndata:two\r\n\r\n'
        "event: empty\n\nevent: grün\ndata: ü\nid: 2-0\n\nevent: cut\ndata: off"
    ).encode()
    parser = EventParser()
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert [event for piece in pieces for event in parser.feed(piece)] == [
        ServerSentEvent("status", '{"a": 1}', "1-0"),
        ServerSentEvent("message", "one\ntwo", "1-0"),
        ServerSentEvent("grün", "ü", "2-0"),
    ]


def stream(*events: tuple[str, dict[str, Any], str]) -> httpx.Response:
    lines = [f"event: {n}\ndata: {json.dumps(d)}\nid: {i}\n\n" for n, d, i in events]
    return httpx.Response(200, text="".join(lines))


def test_a_stream_that_ends_early_is_resumed_to_its_last_event(slept: list[float]) -> None:
    job = {
        "id": "job_1", "object": "job", "generator": "image", "status": "succeeded",
        "progress": 1, "stage": "done", "queue_position": None, "input": {}, "seed": 1,
        "attempt": 1, "outputs": [], "error": None, "priority": "normal", "webhook_url": None,
        "cost": {"estimated": 1, "charged": 1, "breakdown": [], "price_version": "1"},
        "metadata": {}, "created_at": "2026-01-01T00:00:00Z", "started_at": None,
        "finished_at": None, "of_tomorrow": 1,
    }  # fmt: skip
    wire = Wire(
        stream(("progress", {"fraction": 0.1, "stage": "drawing"}, "1-0")),
        busy(),
        stream(("of_tomorrow", {}, "2-0"), ("done", {"job": job}, "3-0")),
    )
    events: list[JobEvent] = list(wire.client().jobs.events("job_1"))
    assert [type(event) for event in events] == [ProgressEvent, DoneEvent]
    done = events[-1]
    assert isinstance(done, DoneEvent)
    assert done.job.model_extra == {"of_tomorrow": 1}
    resumed = [request.headers.get("last-event-id") for request in wire.requests]
    assert resumed == [None, "1-0", "1-0"]


def test_a_job_that_was_erased_meanwhile_ends_its_events(slept: list[float]) -> None:
    wire = Wire(stream(), httpx.Response(404, json={"title": "Not found", "code": "not_found"}))
    with pytest.raises(NotFound):
        list(wire.client().jobs.events("job_1"))


def test_without_an_address_there_is_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATELIER_URL", raising=False)
    with pytest.raises(ValueError, match="ATELIER_URL"):
        Client()
    monkeypatch.setenv("ATELIER_URL", "http://service")
    monkeypatch.setenv("ATELIER_API_KEY", "atl_other")
    wire = Wire(good())
    with Client(transport=httpx.MockTransport(wire)) as client:
        client.me()
    assert wire.requests[0].headers["authorization"] == "Bearer atl_other"
