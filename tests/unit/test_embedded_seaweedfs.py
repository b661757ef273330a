"""A SeaweedFS that was out of disk is started again once there is room."""

from pathlib import Path

import pytest

from db.embedded import seaweedfs
from db.embedded.seaweedfs import EmbeddedSeaweedFS
from db.embedded.state import State

BROKEN = "filer.go:301 persisting /x : write /d/filerldb2/07/000001.log: no space left on device\n"
ELSEWHERE = "plugin_monitor.go:1252 write /d/admin/activities.json: no space left on device\n"


def written(server: EmbeddedSeaweedFS, line: str) -> None:
    server.process.log.parent.mkdir(exist_ok=True)
    with server.process.log.open("a") as log:
        log.write(line)


def test_it_ails_once_its_journal_broke_and_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedSeaweedFS(tmp_path, State(tmp_path))
    server.data.mkdir()
    assert not server.ails()
    written(server, ELSEWHERE)
    assert not server.ails()
    monkeypatch.setattr(seaweedfs, "_ROOM_BYTES", 2**62)  # the disk is full
    written(server, BROKEN)
    assert not server.ails()
    monkeypatch.undo()
    assert server.ails()
    written(server, "and it went on\n")
    assert server.ails()
