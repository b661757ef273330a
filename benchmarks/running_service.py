"""The whole service, started for a measurement as ./scripts/run starts it, and stopped after it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from db.embedded.state import free_port

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class RunningService:
    """A service that is up.

    ``up_s`` is the time from its start until it took jobs, ``first_picture_s`` from then until its
    own first picture was saved. ``pids`` names its stores and ``run``, the parent of all others.
    """

    base_url: str
    api_key: str
    admin_api_key: str
    pids: dict[str, int]
    up_s: float
    first_picture_s: float

    def client(self) -> httpx.Client:
        """A client with the key of the demo user."""
        return httpx.Client(base_url=self.base_url, headers={"X-API-Key": self.api_key}, timeout=90)

    def processes(self) -> list[psutil.Process]:
        """Every process of the service now."""
        run = psutil.Process(self.pids["run"])
        return [run, *run.children(recursive=True)]


def stop_on_signals() -> None:
    """Let this process end as Ctrl-C ends it, in order, also on SIGTERM and from a background.

    A shell has its background jobs ignore SIGINT, and a plain SIGTERM would leave servers behind.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)


@contextmanager
def service_home() -> Iterator[Path]:
    """An empty folder for the data of a service; gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="atl-bench-", dir="/tmp"))
    home.chmod(0o711)  # Postgres runs as another user where this runs as root
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running_service(
    home: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunningService]:
    """Start the service on the data in ``home`` and wait for its first picture.

    ``environment`` is set for the service in addition to that of this process.

    Raises:
        SystemExit: it did not start; with its log.
    """
    data = home / "data"
    command = [sys.executable, "-m", "scripts.dev", "--data", str(data), "--out", str(home / "out")]
    log = home / "run.log"
    started = time.monotonic()
    with log.open("wb") as file:
        run = subprocess.Popen(
            [*command, "--port", str(free_port())],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            env={**os.environ, **(environment or {})},
        )
    try:
        _await(lambda: (data / "dev.json").exists(), run, log)
        up = time.monotonic()
        _await(lambda: "Ctrl-C" in log.read_text(), run, log)
        first_picture_s = time.monotonic() - up
        dev: dict[str, Any] = json.loads((data / "dev.json").read_text())
        yield RunningService(
            dev["base_url"],
            dev["api_key"],
            dev["admin_api_key"],
            dev["pids"],
            up - started,
            first_picture_s,
        )
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(120)


def _await(reached: Any, run: subprocess.Popen[bytes], log: Path) -> None:
    while not reached():
        if run.poll() is not None:
            raise SystemExit(f"the service did not start:\n{log.read_text()}")
        time.sleep(0.02)
