"""The bucket's objects: new ones are copied, and an inventory says which there are.

A backup has the whole inventory (``objects.jsonl``). Between backups changes go to the journal, a
file for each look, so that little is lost. Objects of the same content are stored once. Earlier
versions of an object are not copied, nor is ``temp/``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from atelier_admin.backup.errors import Corrupted
from atelier_admin.backup.manifests import Manifest, path_of
from atelier_admin.backup.vault import SealedFile, Vault
from db.errors import ObjectMissing
from db.object_store import ObjectInfo, ObjectStore

INVENTORY = "objects.jsonl"
LEFT_OUT = "temp/"
AT_ONCE = 8
_MOMENT = "%Y%m%dT%H%M%S.%fZ"

T = TypeVar("T")


class Entry(BaseModel):
    """An object: where, what, and by what a change is noticed. ``size`` is in bytes."""

    model_config = ConfigDict(frozen=True)

    key: str
    size: int
    etag: str
    modified: datetime | None
    sha256: str

    def is_still(self, info: ObjectInfo) -> bool:
        return (self.size, self.etag, self.modified) == (info.size, info.etag, info.modified)


Inventory = Mapping[str, Entry]


async def copy_new(
    vault: Vault, objects: ObjectStore, known: Inventory
) -> tuple[dict[str, Entry], int]:
    """Copy the objects that ``known`` lacks; returns the inventory of now, and the bytes stored."""
    infos = [i for i in await objects.list("") if not i.key.startswith(LEFT_OUT)]
    stored = {entry.sha256 for entry in known.values()}
    found: dict[str, Entry] = {}
    written = 0

    async def take(info: ObjectInfo) -> None:
        nonlocal written
        entry = known.get(info.key)
        if entry is None or not entry.is_still(info):
            entry, size = await _copy(vault, objects, info, stored)
            written += size
        if entry is not None:
            found[info.key] = entry

    await _each(infos, take)
    return dict(sorted(found.items())), written


async def store_inventory(vault: Vault, backup_id: str, inventory: Inventory) -> SealedFile:
    lines = "".join(entry.model_dump_json() + "\n" for entry in inventory.values())
    return await vault.store_bytes(path_of(backup_id, INVENTORY), lines.encode())


async def store_changes(
    vault: Vault, listed_at: datetime, before: Inventory, after: Inventory
) -> bool:
    """Write what changed between two looks to the journal; returns whether anything did."""
    put = [entry for key, entry in after.items() if before.get(key) != entry]
    gone = sorted(before.keys() - after.keys())
    if not put and not gone:
        return False
    content = {"put": [entry.model_dump(mode="json") for entry in put], "gone": gone}
    name = f"journal/{listed_at.astimezone(UTC).strftime(_MOMENT)}"
    await vault.store_bytes(name, json.dumps(content).encode())
    return True


async def read_inventory(
    vault: Vault, manifest: Manifest, until: datetime | None = None
) -> dict[str, Entry]:
    """Return the objects that there were: those of a backup, with the changes since.

    With ``until`` the changes end with the first look at or after that moment.

    Raises:
        WrongKey, Corrupted: a list cannot be read.
    """
    content = await vault.load_bytes(path_of(manifest.id, INVENTORY), manifest.file(INVENTORY))
    entries = [Entry.model_validate_json(line) for line in content.splitlines()]
    found = {entry.key: entry for entry in entries}
    for name in (file.name for file in await vault.list("journal/")):
        if moment_of(name) <= manifest.listed_at:
            continue
        if until is not None and until <= manifest.listed_at:
            break
        changes = json.loads(await vault.load_bytes(name))
        found |= {one["key"]: Entry.model_validate(one) for one in changes["put"]}
        for key in changes["gone"]:
            found.pop(key, None)
        if until is not None and moment_of(name) >= until:
            break
    return found


async def named_in_journal(vault: Vault) -> set[str]:
    """Return the names of the copies that the changes since any backup need."""
    names: set[str] = set()
    for file in await vault.list("journal/"):
        changes = json.loads(await vault.load_bytes(file.name))
        names |= {blob_name(vault, one["sha256"]) for one in changes["put"]}
    return names


def moment_of(name: str) -> datetime:
    """Return when the look at the bucket began of which a file of the journal tells."""
    return datetime.strptime(name.removeprefix("journal/"), _MOMENT).replace(tzinfo=UTC)


def blob_name(vault: Vault, sha256: str) -> str:
    """Return the name of an object's content at the target."""
    name = vault.key.name_of(sha256)
    return f"objects/{name[:2]}/{name}"


async def put_back(
    vault: Vault,
    objects: ObjectStore,
    wanted: Collection[Entry],
    content_types: Mapping[str, str],
) -> dict[str, str]:
    """Write objects from their copies and read each back; returns what is wrong, by key.

    Raises:
        WrongKey: the copies are encrypted with another key.
    """
    wrong: dict[str, str] = {}

    async def put(entry: Entry) -> None:
        name = blob_name(vault, entry.sha256)
        with TemporaryDirectory(dir=vault.scratch) as folder:
            path = Path(folder) / "object"
            try:
                if await vault.fetch_file(name, path) != entry.sha256:
                    raise Corrupted("its copy is another object")
            except Corrupted as error:
                wrong[entry.key] = str(error)
                return
            kind = content_types.get(entry.key, "application/octet-stream")
            await objects.put_file(entry.key, path, kind)
        if await _sha256(objects, entry.key) != entry.sha256:
            wrong[entry.key] = "the store gives back other bytes than were written"

    await _each(list(wanted), put)
    return wrong


async def _copy(
    vault: Vault, objects: ObjectStore, info: ObjectInfo, stored: set[str]
) -> tuple[Entry | None, int]:
    """Copy one object; None if it was deleted after it was listed."""
    with TemporaryDirectory(dir=vault.scratch) as folder:
        path = Path(folder) / "object"
        try:
            await objects.get_file(info.key, path)
        except ObjectMissing:
            return None, 0
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        written = 0
        if digest not in stored:
            # Pictures and films are compressed already.
            sealed = await vault.store_file(blob_name(vault, digest), path, compress=False)
            written = sealed.stored
            stored.add(digest)
    entry = Entry(
        key=info.key, size=info.size, etag=info.etag, modified=info.modified, sha256=digest
    )
    return entry, written


async def _sha256(objects: ObjectStore, key: str) -> str:
    digest = hashlib.sha256()
    async with objects.reading(key) as pieces:
        async for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


async def _each(items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do ``work`` for each, several at once; the first error ends it."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.create_task(take()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
