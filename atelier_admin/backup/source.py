"""What is backed up: the servers of ``./scripts/run``, or those that the environment names."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from sqlalchemy.engine import make_url

from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.sealed import KEY_BYTES, BackupKey
from db.embedded.state import FILE
from db.embedded.supervisor import EmbeddedServers
from db.settings import StoreSettings

KEY_FILE = "backup.key"


@dataclass(frozen=True)
class PostgresAddress:
    """The embedded Postgres, for its own programs: the password is passed in the environment."""

    port: int
    user: str
    password: str
    database: str

    @classmethod
    def parse(cls, url: str) -> PostgresAddress:
        parts = make_url(url)
        user, password = str(parts.username), str(parts.password)
        return cls(int(parts.port or 5432), user, password, str(parts.database))

    @property
    def arguments(self) -> list[str]:
        return ["--host=127.0.0.1", f"--port={self.port}", f"--username={self.user}", "-w"]

    @property
    def url(self) -> str:
        secret = quote(self.password, safe="")
        place = f"127.0.0.1:{self.port}/{self.database}"
        return f"postgresql://{self.user}:{secret}@{place}"


@dataclass(frozen=True)
class Source:
    """``postgres`` is None where it is not the embedded one: then its provider backs it up."""

    data: Path
    stores: StoreSettings
    postgres: PostgresAddress | None


def open_source(data: Path, environ: Mapping[str, str]) -> Source:
    """Find the stores of a data folder; what ``environ`` sets stands above it.

    Raises:
        BackupFailed: there is no data folder, and the environment does not name all stores.
    """
    data = data.resolve()
    embedded: dict[str, str] = {}
    if (data / FILE).is_file():
        embedded = EmbeddedServers(data).environment()
    set_there = {name: value for name, value in environ.items() if value}
    try:
        given: dict[str, Any] = {"MONGODB_URL": None, **embedded, **set_there}
        stores = StoreSettings(**given)
    except ValidationError as error:
        names = ", ".join(str(found["loc"][0]) for found in error.errors())
        raise BackupFailed(
            f"{data} is not the data folder of a service (--data names another), and the"
            f" environment does not name the stores: {names}"
        ) from None
    ours = embedded.get("DATABASE_URL")
    is_ours = ours is not None and set_there.get("DATABASE_URL", ours) == ours
    return Source(data, stores, PostgresAddress.parse(ours) if ours and is_ours else None)


def find_key(data: Path, environ: Mapping[str, str]) -> BackupKey | None:
    """Return ``BACKUP_KEY``, or the key that the data folder holds; None if there is neither.

    Raises:
        BackupFailed: it is no key.
    """
    if environ.get("BACKUP_KEY"):
        return BackupKey.parse(environ["BACKUP_KEY"])
    path = data / KEY_FILE
    return BackupKey.parse(path.read_text()) if path.is_file() else None


def keep_key(data: Path, key: BackupKey | None = None) -> BackupKey:
    """Store a key, or a fresh one, in the data folder (mode 0600), and return the one there.

    A file of its own, not the state of the servers: a run that is up writes that one anew.
    """
    data.mkdir(parents=True, exist_ok=True)
    path, secret = data / KEY_FILE, key.secret if key else secrets.token_bytes(KEY_BYTES)
    fresh = data / f"{KEY_FILE}.{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)  # of two processes that start together, one makes the key
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return BackupKey.parse(path.read_text())
