"""What Prometheus is told of pgBackRest's backups."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.postgres_backups import main


def backup(stop: int, error: bool | None = False) -> dict[str, Any]:
    """As pgBackRest 2.45 says it, without what nobody reads."""
    return {"error": error, "timestamp": {"start": stop - 9, "stop": stop}, "type": "incr"}


def answer(backups: list[dict[str, Any]], code: int = 0) -> str:
    """With one repository; code 99 is one that cannot be read."""
    status = {"code": code, "message": "ok" if code == 0 else "other"}
    repository = {"cipher": "none", "key": 1, "status": status}
    stanza = {"name": "atelier", "backup": backups, "repo": [repository], "status": status}
    return json.dumps([stanza])


def say(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))


def value(target: Path) -> str:
    (line,) = [one for one in target.read_text().splitlines() if not one.startswith("#")]
    series, seconds = line.split(" ")
    assert series == 'atelier_postgres_backup_timestamp_seconds{stanza="atelier"}'
    return seconds


@pytest.mark.parametrize(
    ("backups", "expected"),
    [
        ([backup(1796044926), backup(1796044930)], "1796044930"),
        ([backup(1796044926, None), backup(1796044930, True)], "1796044926"),
        ([], "0"),
    ],
    ids=["the last", "not one with broken pages", "none"],
)
def test_the_time_of_the_last_good_backup_is_told(
    backups: list[dict[str, Any]], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "postgres.prom"
    say(monkeypatch, answer(backups))
    assert main([str(target)]) == 0
    assert value(target) == expected
    assert target.stat().st_mode & 0o777 == 0o644, "node_exporter is another user"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    "said", ["", "[]", '{"error": 1}', '[{"name": "atelier"}]', answer([], code=99)]
)
def test_without_an_answer_the_time_of_before_grows_old(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "postgres.prom"
    target.write_text("as it was")
    say(monkeypatch, said)
    assert main([str(target)]) == 1
    assert "no answer of pgBackRest" in capsys.readouterr().err
    assert target.read_text() == "as it was"
