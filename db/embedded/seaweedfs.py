"""SeaweedFS as an S3 server on loopback: one identity, filer locked, telemetry off."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import structlog

from db.embedded.process import Command, ServerProcess
from db.embedded.state import State

_PORTS = {
    "-s3.port": "s3_port",
    "-s3.port.grpc": "s3_grpc_port",
    "-master.port": "weed_master_port",
    "-master.port.grpc": "weed_master_grpc_port",
    "-volume.port": "weed_volume_port",
    "-volume.port.grpc": "weed_volume_grpc_port",
    "-filer.port": "weed_filer_port",
    "-filer.port.grpc": "weed_filer_grpc_port",
}
_SWITCHES = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.iam=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)
BUCKET = "atelier"
# Once a write to the filer's journal has failed, all later ones fail, even with free space again.
_BROKEN_JOURNAL = re.compile(rb"filerldb2/\S+: no space left on device")
_ROOM_BYTES = 64 * 2**20
# Size of an entry in a volume's index, in the build for volumes up to 8000 GB.
_INDEX_ENTRY_BYTES = 17
_REPAIR_TIMEOUT_S = 600.0


_WEED = str(Path(sys.executable).parent / "weed")

log = structlog.get_logger(__name__)


class EmbeddedSeaweedFS:
    """The object store. State holds its encryption key: without the key the objects are lost."""

    name = "seaweedfs"

    def __init__(self, folder: Path, state: State) -> None:
        self.data = folder / "seaweedfs"
        self._state = state
        self.process = ServerProcess(self.name, folder)
        self._read_to = 0  # of the log
        self._journal_broke = False
        self._torn: list[Path] = []  # indexes whose volumes it could not read at its start

    def environment(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT": f"http://127.0.0.1:{self._state.port('s3_port')}",
            "S3_ACCESS_KEY": self._state.secret("s3_access_key", 10),
            "S3_SECRET_KEY": self._state.secret("s3_secret_key"),
            "S3_BUCKET": BUCKET,
        }

    def start(self) -> None:
        if self.process.adopt() and self.is_ready():
            self._read_to = self.process.log_bytes()
            self._torn = torn_indexes(self.data / "data")
            return
        self.process.stop(signal.SIGTERM)
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._state.claim_ports(_PORTS.values())
        self._write_configuration()
        ports = [f"{flag}={self._state.port(name)}" for flag, name in _PORTS.items()]
        self._journal_broke, self._read_to = False, self.process.log_bytes()
        self._repair_indexes()
        self.process.start(
            Command(
                arguments=[
                    _WEED,
                    "mini",
                    f"-dir={self.data / 'data'}",
                    f"-s3.config={self.data / 's3.json'}",
                    *_SWITCHES,
                    *ports,
                ],
                folder=self.data,
                environment={
                    "PATH": os.defpath,
                    "HOME": str(self.data),
                    "GOMEMLIMIT": "400MiB",
                    "WEED_S3_SSE_KEK": self._state.secret("s3_encryption_key"),
                },
            )
        )
        self.process.wait_until(self.is_ready, 60)

    def stop(self) -> None:
        self.process.stop(signal.SIGTERM, seconds=30)

    def is_ready(self) -> bool:
        """Return whether the S3 port answers anything but "not ready yet"."""
        connection = http.client.HTTPConnection("127.0.0.1", self._state.port("s3_port"), timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def needs_restart(self) -> bool:
        """Return whether the server needs a restart: its disk was full and has space again."""
        broke = self._journal_is_broken() or bool(self._torn)
        return broke and self._has_room()

    def _journal_is_broken(self) -> bool:
        if not self._journal_broke and self.process.log_bytes() > self._read_to:
            with self.process.log.open("rb") as log:
                log.seek(self._read_to)
                written = log.read()
            self._read_to += len(written)
            self._journal_broke = bool(_BROKEN_JOURNAL.search(written))
        return self._journal_broke

    def _has_room(self) -> bool:
        return shutil.disk_usage(self.data).free > _ROOM_BYTES

    def _repair_indexes(self) -> None:
        """Rebuild torn indexes from their volumes with SeaweedFS' tool; the server must not run.

        Without disk space it waits, since half of an index would be worse than none. An index that
        cannot be rebuilt is left until the next start, so that the other volumes keep running.
        """
        self._torn = torn_indexes(self.data / "data")
        if not self._torn or not self._has_room():
            return
        for index in self._torn:
            collection, _, number = index.stem.rpartition("_")
            log.warning("embedded_volume_mended", volume=index.stem)
            which = (f"-collection={collection}", f"-volumeId={number}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    [_WEED, "fix", *which, index.parent],
                    cwd=self.data,
                    env={"PATH": os.defpath, "HOME": str(self.data)},
                    capture_output=True,
                    timeout=_REPAIR_TIMEOUT_S,
                )
        self._torn = []
        for index in torn_indexes(self.data / "data"):
            log.error("embedded_volume_not_mended", volume=index.stem)

    def _write_configuration(self) -> None:
        (self.data / "data").mkdir(exist_ok=True)
        environment = self.environment()
        credentials = {
            "accessKey": environment["S3_ACCESS_KEY"],
            "secretKey": environment["S3_SECRET_KEY"],
        }
        identity = {
            "name": "atelier",
            "credentials": [credentials],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        _write_secret(self.data / "s3.json", json.dumps({"identities": [identity]}))
        # Without these the filer's port serves every object to any client.
        sections = (
            "jwt.signing",
            "jwt.signing.read",
            "jwt.filer_signing",
            "jwt.filer_signing.read",
        )
        lines = [
            f'[{section}]\nkey = "{self._state.secret("weed_" + section.replace(".", "_"))}"\n'
            for section in sections
        ]
        _write_secret(self.data / "security.toml", "\n".join(lines))


def torn_indexes(folder: Path) -> list[Path]:
    """List indexes that end in the middle of an entry (a full disk, then a killed process).

    SeaweedFS skips such a volume and its objects when it starts ("volume 2 not found").
    """
    return [
        index for index in sorted(folder.glob("*.idx")) if index.stat().st_size % _INDEX_ENTRY_BYTES
    ]


def _write_secret(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
