"""A MongoDB-compatible server as a process of its own."""

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.embedded.state import free_port


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mongodb")
    program = shutil.which("secantusd-py", path=str(Path(sys.executable).parent))
    assert program is not None, "secantusdb is not installed: pip install -e '.[dev]'"
    port = free_port()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "--host", "127.0.0.1", "--port", str(port), "--storage-path", folder / "db"],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        _wait_until_open(server, port, folder / "log")
        yield f"mongodb://127.0.0.1:{port}/atelier_test"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_open(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the MongoDB-compatible server did not start: {log.read_text()[-2000:]}")
