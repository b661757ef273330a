"""The manifest of a backup: what it has, on which other one it stands; and chains of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from atelier_admin.backup.errors import BackupFailed, Corrupted
from atelier_admin.backup.vault import SealedFile, Vault

WAL_SEGMENT_BYTES = 16 << 20


class PostgresPart(BaseModel):
    """The base backup of Postgres: of which server, and the log it starts from."""

    model_config = ConfigDict(frozen=True)

    system_id: str
    timeline: int
    start_segment: int  # number of the segment, whatever the timeline


class Manifest(BaseModel):
    """A complete backup. ``kind`` and ``parent`` are those of the Postgres part.

    ``listed_at`` is when the bucket was listed, after Postgres was copied: changes of the bucket
    after it are in the journal.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["base", "incremental"]
    parent: str | None
    started_at: datetime
    listed_at: datetime
    finished_at: datetime
    postgres: PostgresPart | None
    files: Sequence[SealedFile]

    def file(self, name: str) -> SealedFile:
        """Return a file by the last part of its name.

        Raises:
            BackupFailed: the backup has none.
        """
        for found in self.files:
            if found.name == path_of(self.id, name):
                return found
        raise BackupFailed(f"the backup {self.id} has no {name}")

    def has(self, name: str) -> bool:
        return any(found.name == path_of(self.id, name) for found in self.files)


def path_of(backup_id: str, name: str) -> str:
    return f"base/{backup_id}/{name}"


async def read_manifests(vault: Vault) -> dict[str, Manifest]:
    """Return all complete backups, oldest first.

    Raises:
        WrongKey, Corrupted: a manifest cannot be read.
    """
    names = [f.name for f in await vault.list("base/") if f.name.endswith("/manifest")]
    found = [Manifest.model_validate_json(await vault.load_bytes(name)) for name in names]
    return {manifest.id: manifest for manifest in sorted(found, key=lambda one: one.id)}


async def write_manifest(vault: Vault, manifest: Manifest) -> None:
    content = manifest.model_dump_json(indent=1).encode()
    await vault.store_bytes(path_of(manifest.id, "manifest"), content)


async def remove_halves(vault: Vault, complete: Iterable[str]) -> list[str]:
    """Delete what killed backups left, which is what has no manifest; returns their ids."""
    known = set(complete)
    names = [file.name for file in await vault.list("base/")]
    halves = [name for name in names if name.split("/")[1] not in known]
    await vault.delete(halves)
    return sorted({name.split("/")[1] for name in halves})


def chain(manifests: Mapping[str, Manifest], newest: Manifest) -> list[Manifest]:
    """Return the full backup that ``newest`` stands on, those between, and itself.

    Raises:
        Corrupted: one of them is gone.
    """
    found = [newest]
    while (parent := found[0].parent) is not None:
        if parent not in manifests:
            raise Corrupted(f"the backup {newest.id} needs {parent}, which is gone")
        found.insert(0, manifests[parent])
    return found
