"""``./scripts/run`` as a process of its own, on a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from atelier_admin.local_run import ray_folder
from db.embedded.state import free_port
from tests.support.application import read_log
from tests.support.waiting import HANG_S

ROOT = Path(__file__).parents[2]
PROMPT = "a big yellow circle on a blue background"
# What a busy machine lacks for a while, which says nothing of the run.
OF_THE_MACHINE = {"memory", "disk", "disk for Ray"}


def environment() -> dict[str, str]:
    """Ours, without what would lead a run elsewhere."""
    leading = ("RAY_", "ATELIER_", "DATABASE_URL", "REDIS_URL", "S3_", "MONGODB_URL", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(leading)}
    return kept | {"RAY_worker_niceness": "0"}  # see scripts/test


@dataclass
class Run:
    """A run of ``./scripts/run`` on a folder of its own."""

    home: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def dev(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "dev.json").read_text())
        return found

    def start(self, *more: str) -> None:
        (self.data / "dev.json").unlink(missing_ok=True)
        command = ["./scripts/run", "--data", str(self.data), "--out", str(self.home / "out")]
        with (self.home / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(free_port()), "--prompt", PROMPT, *more],
                cwd=ROOT,
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_up(self, seconds: float = 1200) -> None:
        assert self.process is not None
        until = time.monotonic() + seconds
        while "Ctrl-C stops everything" not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.2)

    def said(self) -> str:
        return (self.home / "run.log").read_text()

    def client(self) -> httpx.Client:
        dev = self.dev
        return httpx.Client(
            base_url=dev["base_url"], headers={"X-API-Key": dev["api_key"]}, timeout=120
        )

    def logged(self) -> list[dict[str, Any]]:
        """What the service's processes have logged."""
        logs = ray_folder(self.data) / "session_latest" / "logs"
        lines = [line for log in logs.glob("worker-*.err") for line in read_log(log).splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def findings(self) -> dict[str, str]:
        """What ``doctor`` says of each subject, once nothing of the run is wrong."""
        command = [".venv/bin/python", "-m", "atelier_admin", "doctor", "--json"]
        until = time.monotonic() + HANG_S
        while True:
            said = subprocess.run(
                [*command, "--data", str(self.data)], cwd=ROOT, env=environment(),
                stdout=subprocess.PIPE,
            )  # fmt: skip
            found = json.loads(said.stdout)["data"]
            found = [one for one in found if one["subject"] not in OF_THE_MACHINE]
            wrong = [one for one in found if one["is_problem"]]
            if not wrong:
                return {one["subject"]: one["message"] for one in found}
            assert time.monotonic() < until, wrong
            time.sleep(0.5)

    def valkey(self) -> int | None:
        """The process of its Valkey, which may be another than at its start."""
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.Error):  # it has ended
                words = " ".join(process.info["cmdline"] or [])
                if "valkey-server" in words and process.cwd() == str(self.data / "valkey"):
                    return process.pid
        return None

    def left(self) -> list[str]:
        """Processes that have to do with this run's folders, and do not end."""
        until = time.monotonic() + HANG_S
        while (found := self._processes()) and time.monotonic() < until:
            time.sleep(0.2)
        return found

    def _processes(self) -> list[str]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or [])
            with suppress(psutil.Error):  # it has ended
                if str(self.home) in words and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(words[:100])
        return found
