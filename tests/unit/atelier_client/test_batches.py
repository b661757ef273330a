"""Batches step by step, without a service: what is sent, results that break off, waiting."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from atelier_client import BatchTimedOut, Client, ConnectionFailed, drivers
from atelier_client.command import batch as batch_command
from atelier_client.command import main as command
from atelier_client.command.batch import _line_numbers

BATCH = {
    "id": "bat_1", "object": "batch", "status": "in_progress", "priority": "low",
    "counts": {"total": 3, "unfinished": 3, "succeeded": 0, "failed": 0, "canceled": 0},
    "cost": {"estimated": 3, "charged": 0, "unit": "credit"}, "results": "/x",
    "webhook_url": None, "created_at": "2026-01-01T00:00:00Z", "cancel_requested_at": None,
    "finished_at": None,
}  # fmt: skip
JOB = {
    "id": "job_1", "generator": "image", "status": "succeeded", "progress": 1, "stage": "done",
    "queue_position": None, "input": {"prompt": "ü\u2028"}, "seed": 1, "attempt": 1, "outputs": [],
    "error": None, "priority": "low", "webhook_url": None, "metadata": {},
    "cost": {"estimated": 1, "charged": 1, "breakdown": [], "price_version": "1"},
    "created_at": "2026-01-01T00:00:00Z", "started_at": None, "finished_at": None,
}  # fmt: skip
ROW = {"generator": "image", "input": {"prompt": "a star"}}


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause, none of which is waited for."""
    found: list[float] = []
    # Not of the module time, which other threads of this process use as well.
    monkeypatch.setattr(drivers, "time", SimpleNamespace(sleep=found.append))
    return found


class Lines(httpx.SyncByteStream):
    """Results of these lines in pieces of seven bytes; a ``broken`` stream breaks off in the next
    line."""

    def __init__(self, *numbers: int, broken: bool = False) -> None:
        sent = [json.dumps({"line": number, "job": JOB}).encode() + b"\n" for number in numbers]
        self._content = b"".join(sent) + (b'{"line": 9, "job": {' if broken else b"")
        self._broken = broken

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self._content), 7):
            yield self._content[at : at + 7]
        if self._broken:
            raise httpx.ReadError("lost")


class Service:
    """Answers in turn, and keeps what was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self._left = iter(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return next(self._left)

    def client(self) -> Client:
        return Client("http://service", "atl_key", transport=httpx.MockTransport(self))


def results(*streams: Lines) -> tuple[Client, Service]:
    service = Service(*(httpx.Response(200, stream=stream) for stream in streams))
    return service.client(), service


def test_results_go_on_behind_the_last_line() -> None:
    client, service = results(Lines(1, 3, broken=True), Lines(broken=True), Lines(4, 9))
    found = list(client.batches.results("bat_1"))
    assert [one.line for one in found] == [1, 3, 4, 9]
    assert found[0].job.input == JOB["input"]
    assert [request.url.params["after"] for request in service.requests] == ["0", "3", "3"]


def test_results_that_never_come_are_given_up() -> None:
    client, _ = results(*[Lines(2, broken=True), *[Lines(broken=True)] * 2])
    taken = client.batches.results("bat_1", after=1)
    assert next(taken).line == 2
    with pytest.raises(ConnectionFailed):
        next(taken)


def test_one_content_has_one_key(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(json.dumps(ROW).encode() + b"\n")
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"a picture")
    file = {
        "id": "file_1", "purpose": "input", "name": "photo.png", "content_type": "image/png",
        "bytes": 1, "sha256": "", "job_id": None, "url": "http://x",
        "expires_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    taken = [httpx.Response(202, json=BATCH) for _ in range(6)]
    service = Service(*taken[:5], httpx.Response(201, json=file), taken[5])
    create = service.client().batches.create
    create(path)
    create(str(path))
    create(path.read_bytes(), priority="normal", webhook_url="https://example.com/hook")
    create([ROW])
    create(iter([ROW]), idempotency_key="mine")
    create([{**ROW, "input": {"prompt": "x", "init_image": photo}}] * 2)
    first, second, changed, rows, mine, upload, other = service.requests
    same = [first, second, rows]
    assert len({request.headers["idempotency-key"] for request in same}) == 1
    # With other options it is another batch: the service would call it a mismatch.
    assert changed.headers["idempotency-key"] != first.headers["idempotency-key"]
    assert mine.headers["idempotency-key"] == "mine"
    assert all(json.dumps(ROW).encode() in request.content for request in [*same, changed, mine])
    assert b"https://example.com/hook" in changed.content
    assert b"a picture" in upload.content
    assert other.content.count(b'"init_image": {"file_id": "file_1"}') == 2
    assert other.headers["idempotency-key"] != first.headers["idempotency-key"]


def test_waiting_is_patient_to_a_bound(slept: list[float]) -> None:
    ended: dict[str, Any] = {**BATCH, "finished_at": "2026-01-01T01:00:00Z", "status": "completed"}
    running = [httpx.Response(200, json=BATCH) for _ in range(7)]
    service = Service(*running, httpx.Response(200, json=ended))
    assert service.client().batches.wait("bat_1").is_final
    assert slept == [0.5, 1, 2, 4, 8, 10, 10]
    with pytest.raises(BatchTimedOut, match="3 jobs of bat_1") as late:
        Service(httpx.Response(200, json=BATCH)).client().batches.wait("bat_1", timeout_s=0)
    assert late.value.batch.status == "in_progress"


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service(httpx.Response(202, json=BATCH), httpx.Response(200, json=BATCH))
    monkeypatch.setattr(command, "Client", lambda *_: service.client())
    monkeypatch.setenv("ATELIER_URL", "http://service")
    monkeypatch.setenv("ATELIER_API_KEY", "atl_key")
    monkeypatch.chdir(tmp_path)
    Path("jobs.jsonl").write_text(json.dumps(ROW))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_command, "time", SimpleNamespace(sleep=interrupt))
    assert command.main(["batch", "jobs.jsonl"]) == 130
    said = capsys.readouterr()
    assert (said.out, "`atelier cancel bat_1`" in said.err) == ("", True)
    (record,) = tmp_path.glob("out/jobs-*/batch.json")
    assert json.loads(record.read_text())["batch_id"] == "bat_1"


def test_a_file_in_utf_16_has_the_lines_that_the_service_counts() -> None:
    assert _line_numbers('{"a": 1}\n\n{"b": "\u0a0a"}\r\n'.encode("utf-16")) == [1, 3]
    assert _line_numbers(b"\n\xff\n{}") == [2, 3], "what is no UTF-8 is for the service to refuse"
