"""Where backups lie: a folder, or a bucket of an S3 store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from atelier_admin.backup.errors import BackupFailed, Corrupted
from db.errors import ObjectMissing
from db.object_store import ObjectStore
from db.settings import StoreSettings

_PART = ".part"
_PART_AGE_S = 24 * 3600


@dataclass(frozen=True)
class StoredFile:
    """A file at the target; ``size`` in bytes as it is stored."""

    name: str
    size: int
    modified: datetime


class Target(Protocol):
    """Files by name (``base/.../manifest``). A write is whole or not there.

    Calls raise OSError or :class:`db.errors.StoreUnavailable` if the target cannot be reached.
    """

    async def prepare(self) -> None:
        """Make the folder or the bucket."""
        ...

    async def put(self, name: str, path: Path) -> None: ...

    async def get(self, name: str, path: Path) -> None:
        """Copy a file into ``path``; raises Corrupted if the target has none of that name."""
        ...

    async def list(self, prefix: str) -> Sequence[StoredFile]:
        """List the files whose names begin with ``prefix``, by name."""
        ...

    async def delete(self, names: Iterable[str]) -> None:
        """Delete files; missing ones are no error."""
        ...


class FolderTarget:
    """A folder, best on another disk or machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await asyncio.to_thread(self._remove_parts)

    async def put(self, name: str, path: Path) -> None:
        await asyncio.to_thread(self._put, self._folder / name, path)

    async def get(self, name: str, path: Path) -> None:
        try:
            await asyncio.to_thread(shutil.copyfile, self._folder / name, path)
        except FileNotFoundError as error:
            raise Corrupted(f"{name} is missing at {self._folder}") from error

    async def list(self, prefix: str) -> Sequence[StoredFile]:
        return await asyncio.to_thread(self._list, prefix)

    async def delete(self, names: Iterable[str]) -> None:
        for name in names:
            path = self._folder / name
            path.unlink(missing_ok=True)
            if name.startswith("base/"):  # others may be about to write into other folders
                with contextlib.suppress(OSError):  # it holds more files, or is gone
                    path.parent.rmdir()

    def _remove_parts(self) -> None:
        """Remove what killed writers left; a younger part may belong to one that runs."""
        for part in self._folder.rglob(f"*{_PART}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > _PART_AGE_S:
                    part.unlink()

    def _put(self, to: Path, path: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The archiver and a backup may write the same object at the same moment.
        fresh = to.with_name(f"{to.name}.{secrets.token_hex(4)}{_PART}")
        with path.open("rb") as source, fresh.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
            sink.flush()
            os.fsync(sink.fileno())
        fresh.replace(to)

    def _list(self, prefix: str) -> Sequence[StoredFile]:
        above = self._folder / prefix.rpartition("/")[0]
        found = []
        for path in sorted(above.rglob("*")) if above.is_dir() else []:
            name = path.relative_to(self._folder).as_posix()
            if name.startswith(prefix) and not name.endswith(_PART) and path.is_file():
                info = path.stat()
                moment = datetime.fromtimestamp(info.st_mtime, UTC)
                found.append(StoredFile(name, info.st_size, moment))
        return found


class BucketTarget:
    """A bucket, under a prefix, through the project's client of S3."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    async def prepare(self) -> None:
        await self._store.create()  # and no more: its policy and rules are its owner's

    async def put(self, name: str, path: Path) -> None:
        await self._store.put_file(self._prefix + name, path, "application/octet-stream")

    async def get(self, name: str, path: Path) -> None:
        try:
            await self._store.get_file(self._prefix + name, path)
        except ObjectMissing as error:
            raise Corrupted(f"{name} is missing in the bucket of backups") from error

    async def list(self, prefix: str) -> Sequence[StoredFile]:
        return [
            StoredFile(
                info.key.removeprefix(self._prefix), info.size, info.modified or datetime.now(UTC)
            )
            for info in await self._store.list(self._prefix + prefix)
        ]

    async def delete(self, names: Iterable[str]) -> None:
        await self._store.delete([self._prefix + name for name in names])


def open_target(url: str, source: StoreSettings | None, environ: Mapping[str, str]) -> Target:
    """Open ``/a/folder``, ``file:///a/folder`` or ``s3://bucket/prefix``.

    A bucket is reached with ``BACKUP_S3_ENDPOINT``, ``BACKUP_S3_ACCESS_KEY``,
    ``BACKUP_S3_SECRET_KEY`` and ``BACKUP_S3_REGION``, each of which stands in for the one of the
    service (``S3_ENDPOINT`` and so on).

    Raises:
        BackupFailed: it is none of these, or the bucket that is to be backed up.
    """
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        if parts.netloc not in ("", "localhost"):
            raise BackupFailed(f"{url}: a folder has three slashes, as in file:///mnt/backups")
        path = unquote(parts.path) if parts.scheme else url
        return FolderTarget(Path(path).expanduser().absolute())
    if parts.scheme != "s3" or not parts.netloc:
        raise BackupFailed(f"{url}: a target is a folder, file:///folder or s3://bucket/prefix")
    names = ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION")
    given = {name: environ.get(f"BACKUP_{name}") or environ.get(name) for name in names}
    if source is not None:
        given = _of_service(source) | {name: value for name, value in given.items() if value}
    missing = [name for name in names[:3] if not given.get(name)]
    if missing:
        raise BackupFailed(f"{url}: set {', '.join(f'BACKUP_{name}' for name in missing)}")
    same = source is not None and given["S3_ENDPOINT"] == source.s3_endpoint
    if same and source is not None and parts.netloc == source.s3_bucket:
        raise BackupFailed(f"{url} is the bucket that is to be backed up; choose another")
    settings = StoreSettings.model_construct(
        s3_endpoint=str(given["S3_ENDPOINT"]).rstrip("/"),
        s3_access_key=SecretStr(str(given["S3_ACCESS_KEY"])),
        s3_secret_key=SecretStr(str(given["S3_SECRET_KEY"])),
        s3_bucket=parts.netloc,
        s3_region=given["S3_REGION"] or "us-east-1",
        s3_public_endpoint=None,
    )
    return BucketTarget(ObjectStore.open(settings), unquote(parts.path))


def _of_service(source: StoreSettings) -> dict[str, str | None]:
    return {
        "S3_ENDPOINT": source.s3_endpoint,
        "S3_ACCESS_KEY": source.s3_access_key.get_secret_value(),
        "S3_SECRET_KEY": source.s3_secret_key.get_secret_value(),
        "S3_REGION": source.s3_region,
    }
