"""``atelier-admin wal`` as a process beside the embedded servers of ``./scripts/run``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from atelier_admin.backup.backup import ROOT
from db.embedded.postgres import EmbeddedPostgres
from db.embedded.process import Command, ServerProcess
from db.embedded.seaweedfs import EmbeddedSeaweedFS
from db.embedded.state import State
from db.embedded.valkey import EmbeddedValkey

_STORES_TIMEOUT_S = 60.0


class WalArchiver:
    """Started with the servers, and anew when it ends; it tries on while a store is away."""

    name = "wal-archiver"

    def __init__(self, folder: Path, state: State) -> None:
        self._folder, self._state = folder, state
        self.process = ServerProcess(self.name, folder)

    def environment(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        if self.process.adopt():
            return
        self._wait_for_stores()
        command = [sys.executable, "-m", "atelier_admin", "wal", "--data", str(self._folder)]
        self.process.start(Command(command, ROOT, {**os.environ, "PYTHONPATH": str(ROOT)}))

    def _wait_for_stores(self) -> None:
        """The servers start at the same moment and may choose ports, which the archiver reads."""
        stores: list[EmbeddedPostgres | EmbeddedSeaweedFS | EmbeddedValkey]
        stores = [EmbeddedPostgres(self._folder, self._state)]
        if not os.environ.get("S3_ENDPOINT"):
            stores.append(EmbeddedSeaweedFS(self._folder, self._state))
        if not os.environ.get("REDIS_URL"):
            stores.append(EmbeddedValkey(self._folder, self._state))
        deadline = time.monotonic() + _STORES_TIMEOUT_S
        while time.monotonic() < deadline and not all(store.is_ready() for store in stores):
            time.sleep(0.2)

    def stop(self) -> None:
        self.process.stop(signal.SIGTERM, seconds=30)

    def is_ready(self) -> bool:
        return self.process.alive()

    def needs_restart(self) -> bool:
        """Return False: what fails is tried again in its next round."""
        return False
