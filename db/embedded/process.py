"""A server process that survives a killed parent and is adopted by the next one."""

from __future__ import annotations

import contextlib
import json
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


class ServerFailed(RuntimeError):
    """A server did not start; the message names its log and shows the end of it."""


@dataclass(frozen=True)
class Command:
    """A command with its folder and account (``None``: our own)."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    user: str | None = None
    stdin: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM


def identity(user: str | None) -> dict[str, Any]:
    """Return the options of ``subprocess`` for an account with its own group and no other one.

    ``user`` alone would leave the program in our groups, root's among them. None: our own account.

    Raises:
        KeyError: there is no such account.
    """
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


class ServerProcess:
    """Starts, adopts and stops one server. Its pid and start time are stored in ``<name>.pid``.

    The start time distinguishes our process from a later one with the same pid.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / "logs" / f"{name}.log"
        self._record = folder / f"{name}.pid"
        self._process: psutil.Process | None = None
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def adopt(self) -> bool:
        """Adopt the server that an earlier parent started; returns False if none runs."""
        try:
            record = json.loads(self._record.read_text())
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["started"]) < 1.0
        except (OSError, ValueError, KeyError, psutil.Error):
            return False
        if not same or not _runs(process):
            return False
        self._process = process
        return True

    def alive(self) -> bool:
        if self._popen is not None:
            self._popen.poll()  # reaps it, if it has ended
        return self._process is not None and _runs(self._process)

    def start(self, command: Command) -> None:
        """Start the server in its own session, so that a Ctrl-C reaches us first and we stop it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                list(command.arguments),
                cwd=command.folder,
                env=dict(command.environment),
                stdin=subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **identity(command.user),
            )
        self._process = psutil.Process(self._popen.pid)
        record = {"pid": self._popen.pid, "started": self._process.create_time()}
        self._record.write_text(json.dumps(record))
        if command.stdin is not None and self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.write(command.stdin.encode())
                self._popen.stdin.close()

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``ready()``.

        Raises:
            ServerFailed: the server ended, or is not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive():
                raise ServerFailed(f"{self.name} ended at once. {self.tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} did not answer in {seconds:.0f} s. {self.tail()}")
            time.sleep(0.05)

    def stop(self, by: signal.Signals, seconds: float = 10.0) -> None:
        """Terminate the server; kill it if it does not end."""
        if self._process is not None and self.alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                self._process.send_signal(by)
            if not self._ended_within(seconds):
                with contextlib.suppress(psutil.NoSuchProcess):
                    for child in [*self._process.children(recursive=True), self._process]:
                        child.kill()
                self._ended_within(5.0)
        self._record.unlink(missing_ok=True)
        self._process = self._popen = None

    def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def log_bytes(self) -> int:
        """Return the size of the log."""
        return self.log.stat().st_size if self.log.exists() else 0

    def tail(self) -> str:
        """Return the path of the log and its last lines."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-5:]
        except OSError:
            lines = []
        return f"Its log is {self.log}:\n" + "\n".join(f"  {line}" for line in lines)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
