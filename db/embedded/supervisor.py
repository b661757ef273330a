"""Start or adopt the three embedded servers concurrently, watch them, stop them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import structlog

from db.embedded.postgres import EmbeddedPostgres
from db.embedded.process import ServerFailed, ServerProcess
from db.embedded.seaweedfs import EmbeddedSeaweedFS
from db.embedded.state import State
from db.embedded.valkey import EmbeddedValkey

log = structlog.get_logger(__name__)


class Server(Protocol):
    name: str
    process: ServerProcess

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def is_ready(self) -> bool: ...
    def needs_restart(self) -> bool: ...
    def environment(self) -> dict[str, str]: ...


class EmbeddedServers:
    """The embedded stores that ``environ`` does not configure, with data under ``folder``.

    ``beside`` are further processes that run together with them.

    ``start`` takes over servers that a killed parent left running. ``watch`` starts a thread that
    restarts one that dies, or that only a restart can help, on the same port and data.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str] | None = None,
        beside: Sequence[Callable[[Path, State], Server]] = (),
    ) -> None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # Postgres' account passes through; every secret below is 0600
        state, configured = State(folder), environ or {}
        named: dict[str, Callable[[Path, State], Server]] = {
            "DATABASE_URL": EmbeddedPostgres,
            "REDIS_URL": EmbeddedValkey,
            "S3_ENDPOINT": EmbeddedSeaweedFS,
        }
        servers = [make for url, make in named.items() if not configured.get(url)]
        self.servers = [make(folder, state) for make in (*servers, *beside)]
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Start or adopt all servers; if one fails the others are stopped.

        Raises:
            ServerFailed: a server did not start.
        """
        with ThreadPoolExecutor(max(1, len(self.servers))) as pool:
            started = [pool.submit(server.start) for server in self.servers]
        failed = [error for future in started if (error := future.exception()) is not None]
        if failed:
            self.stop()
            raise failed[0]

    def stop(self) -> None:
        """Stop all servers; their data stay on disk."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        with ThreadPoolExecutor(max(1, len(self.servers))) as pool:
            for done in [pool.submit(server.stop) for server in self.servers]:
                done.result()
        self._stopping.clear()

    def watch(self, every_s: float = 1.0) -> None:
        def loop() -> None:
            while not self._stopping.wait(every_s):
                for server in self.servers:
                    if self._stopping.is_set():
                        return
                    if not server.process.alive():
                        log.warning("embedded_server_died", server=server.name)
                        self._restart(server)
                    elif server.needs_restart():
                        log.warning("embedded_server_ails", server=server.name)
                        server.stop()
                        self._restart(server)

        self._watcher = threading.Thread(target=loop, name="embedded-servers", daemon=True)
        self._watcher.start()

    def _restart(self, server: Server) -> None:
        try:
            server.start()
        except (ServerFailed, OSError) as error:
            log.error("embedded_server_not_restarted", server=server.name, error=str(error))
        else:
            log.info("embedded_server_restarted", server=server.name, pid=server.process.pid)

    def environment(self) -> dict[str, str]:
        """Return the environment variables with the addresses of these servers."""
        merged: dict[str, str] = {}
        for server in self.servers:
            merged |= server.environment()
        return merged

    def pids(self) -> dict[str, int]:
        return {
            server.name: pid for server in self.servers if (pid := server.process.pid) is not None
        }
