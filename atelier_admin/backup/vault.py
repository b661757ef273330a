"""Encrypted files at a target. Nothing else writes there or reads from there."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from atelier_admin.backup.errors import Corrupted
from atelier_admin.backup.sealed import BackupKey, SealedReader, SealedWriter
from atelier_admin.backup.targets import StoredFile, Target

T = TypeVar("T")

_PIECE_BYTES = 1 << 20


class SealedFile(BaseModel):
    """A file of a backup: SHA-256 and size in bytes of its plain content, and its stored size."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    size: int
    stored: int


@dataclass(frozen=True)
class Vault:
    """A target and its key; ``scratch`` is a folder for what is on its way, and has to exist."""

    target: Target
    key: BackupKey
    scratch: Path

    async def store_file(self, name: str, path: Path, compress: bool = True) -> SealedFile:
        """Encrypt a file and put it at the target under ``name``."""

        def fill(writer: SealedWriter) -> None:
            with path.open("rb") as source:
                shutil.copyfileobj(source, cast("BinaryIO", writer), _PIECE_BYTES)

        return await self._store(name, fill, compress)

    async def store_bytes(self, name: str, content: bytes) -> SealedFile:
        return await self._store(name, lambda writer: _written(writer, content), True)

    async def store_folder(self, name: str, folder: Path) -> SealedFile:
        """Encrypt all files of a folder as one archive."""

        def fill(writer: SealedWriter) -> None:
            with tarfile.open(fileobj=cast("BinaryIO", writer), mode="w|") as archive:
                archive.add(folder, arcname=".")

        return await self._store(name, fill, True)

    async def load_bytes(self, name: str, expected: SealedFile | None = None) -> bytes:
        """Return the content of a file.

        Raises:
            WrongKey, Corrupted: it cannot be opened, or is not the ``expected`` one.
        """
        return await self._load(name, lambda reader: reader.read(), expected)

    async def fetch_file(self, name: str, to: Path, expected: SealedFile | None = None) -> str:
        """Decrypt a file into ``to`` and return its SHA-256.

        Raises:
            WrongKey, Corrupted: as above; ``to`` is then not there.
        """

        def read(reader: SealedReader) -> str:
            # Documents are among them, which are nobody else's on this machine.
            with open(to, "wb", opener=partial(os.open, mode=0o600)) as sink:
                shutil.copyfileobj(cast("BinaryIO", reader), sink, _PIECE_BYTES)
            return reader.sha256

        try:
            return await self._load(name, read, expected)
        except Corrupted:
            to.unlink(missing_ok=True)
            raise

    async def fetch_folder(self, name: str, to: Path, expected: SealedFile | None = None) -> None:
        """Unpack an archive into the folder ``to``.

        Raises:
            WrongKey, Corrupted: as above; what was unpacked until then is there.
        """

        def read(reader: SealedReader) -> None:
            try:
                with tarfile.open(fileobj=cast("BinaryIO", reader), mode="r|") as archive:
                    if hasattr(tarfile, "data_filter"):
                        archive.extraction_filter = tarfile.data_filter
                    archive.extractall(to)
            except tarfile.TarError as error:
                raise Corrupted(f"{name} is damaged: {error}") from error
            while reader.read(_PIECE_BYTES):  # what pads the archive is hashed, too
                pass

        await self._load(name, read, expected)

    async def list(self, prefix: str) -> Sequence[StoredFile]:
        return await self.target.list(prefix)

    async def delete(self, names: Iterable[str]) -> None:
        await self.target.delete(names)

    async def _store(
        self, name: str, fill: Callable[[SealedWriter], None], compress: bool
    ) -> SealedFile:
        with self._temporary() as path:

            def seal() -> SealedFile:
                with path.open("wb") as sink:
                    writer = SealedWriter(sink, self.key, name, compress)
                    fill(writer)
                    writer.finish()
                    stored = sink.tell()
                return SealedFile(name=name, sha256=writer.sha256, size=writer.size, stored=stored)

            made = await asyncio.to_thread(seal)
            await self.target.put(name, path)
            return made

    async def _load(
        self, name: str, read: Callable[[SealedReader], T], expected: SealedFile | None
    ) -> T:
        with self._temporary() as path:
            await self.target.get(name, path)

            def opened() -> T:
                with path.open("rb") as source:
                    reader = SealedReader(source, self.key, name)
                    found = read(reader)
                if expected is not None and reader.sha256 != expected.sha256:
                    raise Corrupted(f"{name} is not the file that its backup's manifest names")
                return found

            return await asyncio.to_thread(opened)

    def _temporary(self) -> _Temporary:
        return _Temporary(self.scratch)


class _Temporary:
    """The path of a file that is not there yet, and is gone at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="file-", dir=folder))

    def __enter__(self) -> Path:
        return self._folder / "content"

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _written(writer: SealedWriter, content: bytes) -> None:
    writer.write(content)
