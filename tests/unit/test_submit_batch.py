"""A batch: what counts as the same line, what a bad one is told, and who is asked again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from atelier_client.command.settings import ServiceNotFound, find_service
from scripts import submit_batch
from scripts.submit_batch import KeyedLine, read_manifest, run_line, with_keys
from serve_app.batches.jsonl import BatchError, read_lines

JOB = {"generator": "image", "input": {"prompt": "a red circle"}}


def lines_of(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows))
    return path


def test_equal_lines_are_different_jobs_with_lasting_keys() -> None:
    first, _ = read_lines(lines_of(json.dumps(JOB), json.dumps(JOB)))
    first = with_keys(first)
    assert len({line.key for line in first}) == 2
    other = json.dumps(JOB | {"generator": "other"})
    again, _ = read_lines(lines_of(other, "", json.dumps(JOB), json.dumps(JOB)))
    assert [line.key for line in with_keys(again)[1:]] == [line.key for line in first]


def test_a_manifest_cut_off_by_a_crash_still_tells_what_was_finished(tmp_path: Path) -> None:
    done = {"key": "batch-1", "status": "succeeded"}
    failed = {"key": "batch-2", "status": "failed"}
    path = write(tmp_path / "m.jsonl", json.dumps(done), json.dumps(failed), '{"key": "bat')
    assert list(read_manifest(path)) == ["batch-1"]


def test_without_a_service_the_message_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATELIER_URL", raising=False)
    monkeypatch.delenv("ATELIER_API_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServiceNotFound, match="ATELIER_URL"):
        find_service(None, tmp_path / "dev.json")


def job(status: str) -> dict[str, object]:
    digest = hashlib.sha256(b"a picture").hexdigest()
    output = {"name": "image-0.png", "sha256": digest, "url": "http://store/signed"}
    cost = {"charged": 2}
    return {"id": "job_1", "status": status, "outputs": [output], "cost": cost, "error": None}


def in_turn(*answers: httpx.Response | httpx.TransportError) -> Callable[..., httpx.Response]:
    """What a server says, one after the other; an answer too few fails the test."""
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        said = next(left)
        if isinstance(said, httpx.TransportError):
            raise said
        return said

    return answer


async def run(service: Callable[..., httpx.Response], store: Callable[..., httpx.Response],
              out: Path) -> dict[str, object]:  # fmt: skip
    line = KeyedLine(7, "batch-1", JOB)
    async with (
        httpx.AsyncClient(base_url="http://service", transport=httpx.MockTransport(service)) as one,
        httpx.AsyncClient(transport=httpx.MockTransport(store)) as other,
    ):
        return await run_line(one, other, line, out)


SOON = {"Retry-After": "0"}
NOT_HEARD_OF_US = httpx.Response(404, text="Path '/v1/jobs' not found.", headers=SOON)


async def test_whoever_is_away_is_asked_again(tmp_path: Path) -> None:
    service = in_turn(
        NOT_HEARD_OF_US,
        httpx.Response(503, json={}, headers=SOON),
        httpx.Response(202, json=job("queued")),
        httpx.Response(500, text="no server is available", headers=SOON),
        NOT_HEARD_OF_US,
        httpx.Response(200, json=job("succeeded")),
    )
    store = in_turn(
        httpx.Response(500, text="<Error/>", headers=SOON),
        httpx.Response(200, content=b"a picture"),
    )
    row = await run(service, store, tmp_path)
    assert row["status"] == "succeeded"
    assert (tmp_path / "job_1-image-0.png").read_bytes() == b"a picture"


async def test_what_the_service_refuses_is_not_asked_again(tmp_path: Path) -> None:
    problem = {"content-type": "application/problem+json"}
    refusal = httpx.Response(404, json={"detail": "no such thing"}, headers=problem)
    row = await run(in_turn(refusal), in_turn(), tmp_path)
    assert (row["status"], row["error"]) == ("refused", {"detail": "no such thing"})
    with pytest.raises(BatchError, match=r"line 7: job_1: no such thing"):
        await run(in_turn(httpx.Response(202, json=job("queued")), refusal), in_turn(), tmp_path)


async def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_batch, "TIMEOUT_S", 0.5)
    away = in_turn(httpx.Response(503, headers={"Retry-After": "1"}))
    with pytest.raises(BatchError, match=r"said 503 for 0 s; run again"):
        await run(away, in_turn(), tmp_path)
    with pytest.raises(BatchError, match="did not answer"):
        await run(in_turn(httpx.ConnectError("no")), in_turn(), tmp_path)
