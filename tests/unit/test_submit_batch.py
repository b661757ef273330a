"""The batch file: what counts as the same line, and what a bad one is told."""

import json
from pathlib import Path

import pytest

from scripts.client import NoService, find_service
from scripts.submit_batch import BatchError, read_lines, read_manifest

JOB = {"generator": "image", "input": {"prompt": "a red circle"}}


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows))
    return path


def test_equal_lines_are_different_jobs_and_keep_their_keys_when_others_are_added(
    tmp_path: Path,
) -> None:
    first = read_lines(write(tmp_path / "a.jsonl", json.dumps(JOB), json.dumps(JOB)))
    assert len({line.key for line in first}) == 2
    other = json.dumps(JOB | {"generator": "other"})
    again = read_lines(write(tmp_path / "b.jsonl", other, "", json.dumps(JOB), json.dumps(JOB)))
    assert [line.key for line in again[1:]] == [line.key for line in first]


def test_every_bad_line_is_named_and_nothing_is_submitted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps(JOB), "{", '["a"]', '{"generator": "image"}')
    with pytest.raises(BatchError) as refused:
        read_lines(path)
    assert [f"line {n}:" in str(refused.value) for n in (1, 2, 3, 4)] == [False, True, True, True]


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
    with pytest.raises(NoService, match="ATELIER_URL"):
        find_service(None, tmp_path / "dev.json")
