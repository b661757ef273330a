"""A SeaweedFS that was out of disk is started again once there is room, and has what it had."""

import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from urllib3.util import Retry

from db.embedded import seaweedfs
from db.embedded.seaweedfs import EmbeddedSeaweedFS, torn_indexes
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
    assert not server.needs_restart()
    written(server, ELSEWHERE)
    assert not server.needs_restart()
    monkeypatch.setattr(seaweedfs, "_ROOM_BYTES", 2**62)  # the disk is full
    written(server, BROKEN)
    assert not server.needs_restart()
    monkeypatch.undo()
    assert server.needs_restart()
    written(server, "and it went on\n")
    assert server.needs_restart()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedSeaweedFS]:
    started = EmbeddedSeaweedFS(tmp_path, State(tmp_path))
    started.start()
    try:
        yield started
    finally:
        started.stop()


def bucket(server: EmbeddedSeaweedFS) -> Minio:
    found = server.environment()
    return Minio(
        found["S3_ENDPOINT"].removeprefix("http://"),
        access_key=found["S3_ACCESS_KEY"],
        secret_key=found["S3_SECRET_KEY"],
        secure=False,
        # A volume that is away answers 500; one that has just been started does, for a moment.
        http_client=urllib3.PoolManager(
            retries=Retry(total=8, backoff_factor=0.2, status_forcelist=[500, 503])
        ),
    )


def killed(server: EmbeddedSeaweedFS) -> None:
    pid = server.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while server.process.alive():
        time.sleep(0.02)


def tear_index(server: EmbeddedSeaweedFS) -> None:
    """As a full disk cuts off the entry of what was written last."""
    (index,) = (server.data / "data").glob("things_*.idx")
    size = index.stat().st_size
    assert torn_indexes(index.parent) == []
    os.truncate(index, size - 2)
    assert torn_indexes(index.parent) == [index]


def test_an_index_torn_by_a_full_disk_is_mended_at_the_next_start(
    server: EmbeddedSeaweedFS,
) -> None:
    client = bucket(server)
    client.make_bucket("things")
    contents = {f"thing-{number}": os.urandom(5000) for number in range(20)}
    for name, content in contents.items():
        client.put_object("things", name, io.BytesIO(content), len(content))
    killed(server)
    tear_index(server)
    server.start()
    client = bucket(server)
    assert {name: client.get_object("things", name).read() for name in contents} == contents
    assert not server.needs_restart()


def test_it_is_mended_only_once_there_is_room(
    server: EmbeddedSeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = bucket(server)
    client.make_bucket("things")
    client.put_object("things", "one", io.BytesIO(b"one"), 3)
    killed(server)
    tear_index(server)
    monkeypatch.setattr(seaweedfs, "_ROOM_BYTES", 2**62)  # the disk is full
    server.start()
    assert not server.needs_restart()
    monkeypatch.undo()
    assert server.needs_restart()
    server.stop()
    server.start()
    assert bucket(server).get_object("things", "one").read() == b"one"
    assert not server.needs_restart()


def test_a_volume_that_cannot_be_mended_does_not_stop_the_others(
    server: EmbeddedSeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = bucket(server)
    client.make_bucket("things")
    client.put_object("things", "one", io.BytesIO(b"one"), 3)
    killed(server)
    tear_index(server)
    monkeypatch.setattr(seaweedfs.subprocess, "run", lambda *_, **__: None)
    server.start()
    assert len(torn_indexes(server.data / "data")) == 1
    assert not server.needs_restart()
