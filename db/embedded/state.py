"""Ports and credentials of the embedded servers, chosen once and stored (mode 0600)."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FILE = "embedded.json"
# A killed process holds its ports until the last of its threads and children has ended.
PORT_RELEASE_TIMEOUT_S = 5.0


class State:
    """A small JSON file; a value that is read for the first time is created and stored.

    The servers start concurrently, so every method may be called from several threads.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()
        self._values: dict[str, Any] = (
            json.loads(self.path.read_text()) if self.path.exists() else {}
        )

    def secret(self, name: str, length: int = 32) -> str:
        """Return a random hexadecimal string of ``length`` bytes."""
        with self._lock:
            if name not in self._values:
                self._put(name, secrets.token_hex(length))
            return str(self._values[name])

    def port(self, name: str) -> int:
        """Return the loopback port of a name; chooses one at the first call."""
        with self._lock:
            return int(self._values[name]) if name in self._values else self.new_port(name)

    def new_port(self, name: str) -> int:
        """Choose another port: another process uses the old one."""
        with self._lock:
            taken = {value for key, value in self._values.items() if key.endswith("_port")}
            while (port := free_port()) in taken:
                continue
            self._put(name, port)
            return port

    def claim_ports(self, names: Iterable[str], within_s: float = PORT_RELEASE_TIMEOUT_S) -> None:
        """Make sure that the ports are free; chooses others if another process uses one.

        Clients keep using the old port, so a killed server first has ``within_s`` to release it.
        """
        names = list(names)
        until = time.monotonic() + within_s
        while not all(port_is_free(self.port(name)) for name in names):
            if time.monotonic() > until:
                for name in names:
                    self.new_port(name)
                return
            time.sleep(0.05)

    def _put(self, name: str, value: Any) -> None:
        self._values[name] = value
        fresh = self.path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._values, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def free_port() -> int:
    """Return a free port below the system's range of ephemeral ports, so that it stays free."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        if port_is_free(port):
            return port


def port_is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
