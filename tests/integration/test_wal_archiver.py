"""The archiver beside the embedded servers, as ``./scripts/run`` keeps it."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from atelier_admin.backup.server import WalArchiver
from db.embedded.supervisor import EmbeddedServers
from tests.support.waiting import HANG_S


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="atl-wal-", dir="/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def copied_after(target: Path, moment: float) -> bool:
    return any(path.stat().st_mtime > moment for path in target.glob("wal/*.partial"))


def wait_for_copy(target: Path, moment: float) -> None:
    deadline = time.monotonic() + HANG_S
    while not copied_after(target, moment):
        assert time.monotonic() < deadline, "no log is copied"
        time.sleep(0.1)


def test_it_starts_with_the_servers_and_anew_when_it_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = folder / "target"
    monkeypatch.setenv("BACKUP_URL", str(target))
    for name in ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT", "BACKUP_KEY"):
        monkeypatch.delenv(name, raising=False)
    data = folder / "data"
    servers = EmbeddedServers(data, {}, [WalArchiver])
    servers.start()
    servers.watch(every_s=0.2)
    try:
        wait_for_copy(target, 0)
        assert (data / "backup.key").is_file()
        killed = psutil.Process(servers.pids()["wal-archiver"])
        killed.kill()
        killed.wait()
        wait_for_copy(target, time.time())
        assert servers.pids()["wal-archiver"] != killed.pid
    finally:
        servers.stop()
    left = [p for p in psutil.process_iter(["cmdline"]) if str(data) in " ".join(p.info["cmdline"] or [])]  # fmt: skip  # noqa: E501
    assert left == []
