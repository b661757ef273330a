"""A batch from its file to its summary, against a service that refuses some lines."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from atelier_client.errors import describe_problem
from scripts import submit_batch

PROBLEM = {"content-type": "application/problem+json"}
HALF = r'{"generator": "image", "input": {"prompt": "\ud83d"}}'


class StandIn:
    """Makes a job of each prompt; refuses an empty one, fails "bad", has no credits for "broke"."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        key = request.headers["Idempotency-Key"]
        if key in self.jobs:
            return httpx.Response(202, json=self.jobs[key], headers={"Idempotent-Replayed": "true"})
        prompt = json.loads(request.content)["input"]["prompt"]
        if prompt == "broke":
            return httpx.Response(402, json={"detail": "no credits"}, headers=PROBLEM)
        if not prompt:
            fault = {"loc": ["input", "prompt"], "msg": "too short", "code": "string_too_short"}
            return httpx.Response(
                422, json={"detail": "not valid", "errors": [fault]}, headers=PROBLEM
            )
        error = {"detail": "nothing was found"} if prompt == "bad" else None
        self.jobs[key] = {
            "id": f"job_{len(self.jobs)}", "status": "failed" if error else "succeeded",
            "outputs": [], "cost": {"charged": 1}, "error": error,
        }  # fmt: skip
        return httpx.Response(202, json=self.jobs[key])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    client = httpx.AsyncClient

    def connect(**more: Any) -> httpx.AsyncClient:
        return client(transport=httpx.MockTransport(stand_in), **more)

    monkeypatch.setattr(submit_batch.httpx, "AsyncClient", connect)
    monkeypatch.setenv("ATELIER_URL", "http://service")
    monkeypatch.setenv("ATELIER_API_KEY", "key")
    return stand_in


def job(prompt: str) -> str:
    return json.dumps({"generator": "image", "input": {"prompt": prompt}})


def run(path: Path, capsys: pytest.CaptureFixture[str], *rows: str) -> tuple[Any, list[str]]:
    """Return how it ended and what was printed on standard output."""
    path.write_text("\n".join(rows))
    ended: Any = 0
    try:
        submit_batch.main([str(path)])
    except SystemExit as left:
        ended = left.code
    return ended, capsys.readouterr().out.splitlines()


def test_the_end_names_each_bad_line_with_field_and_reason(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (job("a"), job(""), HALF, "# words", job("bad"), job("b"))
    ended, said = run(tmp_path / "jobs.jsonl", capsys, *rows)
    assert ended == 1
    assert said[0] == "line 2: refused: input.prompt: too short"
    assert said[1].startswith("line 3: refused: input.prompt: character 1 is \\ud83d")
    assert said[2].startswith("line 4: refused: a comment")
    assert said[3] == "line 5: failed: nothing was found"
    assert said[4] == (
        "6 lines: 3 jobs made, 0 made before; 2 succeeded, 1 failed, 0 canceled, 3 refused."
    )


def test_a_second_run_says_the_same_of_the_bad_lines_and_claims_nothing_of_them(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (job("a"), job(""), job("b"))
    path = tmp_path / "jobs.jsonl"
    run(path, capsys, *rows)
    for forgotten in (False, True):
        if forgotten:
            (tmp_path / "jobs.manifest.jsonl").unlink()
        ended, said = run(path, capsys, *rows)
        assert ended == 1
        assert said[:3] == [
            "line 2: refused: input.prompt: too short",
            "3 lines: no new jobs; 2 succeeded, 0 failed, 0 canceled, 1 refused.",
            "The 2 other lines were made by an earlier run.",
        ]


def test_only_if_every_line_was_made_it_is_said(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for ran in range(2):
        ended, said = run(tmp_path / "jobs.jsonl", capsys, job("a"), job("b"))
        assert ended == 0
        assert ("Every line was made by an earlier run." in said) == bool(ran)


def test_a_file_of_bad_lines_alone_makes_nothing_and_says_so(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, said = run(tmp_path / "jobs.jsonl", capsys, "# words", HALF)
    assert ended == 1
    assert said[2] == "2 lines: no new jobs; 0 succeeded, 0 failed, 0 canceled, 2 refused."
    assert not service.jobs


def test_a_batch_that_stops_tells_what_ended_before(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, said = run(tmp_path / "jobs.jsonl", capsys, "# words", job("broke"))
    assert "1 more lines have not ended: line 2: no credits" in ended
    assert said[0].startswith("line 1: refused: a comment")


def test_the_manifest_has_a_row_for_each_refused_line(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "jobs.jsonl", capsys, job("a"), HALF)
    written = (tmp_path / "jobs.manifest.jsonl").read_text().splitlines()
    rows = {row["line"]: row for row in map(json.loads, written)}
    assert (rows[1]["status"], rows[2]["status"]) == ("succeeded", "refused")
    assert rows[2]["error"]["errors"][0]["loc"] == ["input", "prompt"]


def test_a_problem_is_told_by_its_fields_or_else_by_its_detail() -> None:
    faults = [{"loc": ["input", 1], "msg": "a"}, {"loc": [], "msg": "b"}]
    assert describe_problem({"detail": "d", "errors": faults}) == "input.1: a; b"
    assert describe_problem({"detail": "d", "errors": []}) == "d"
