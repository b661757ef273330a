"""Which backups go, and what only they needed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from atelier_admin.backup import bucket
from atelier_admin.backup.manifests import Manifest, path_of, read_manifests
from atelier_admin.backup.vault import Vault

# An object is copied before the list that names it is written; younger copies are left alone.
UNLISTED_FOR = timedelta(days=1)
_SEGMENT_NAME_CHARACTERS = 24


def kept(manifests: Mapping[str, Manifest], keep_full: int) -> set[str]:
    """Return the ids of the newest ``keep_full`` full backups and of all that stand on them.

    An incremental backup goes with the full one that it stands on, never before and never after.
    """
    fulls = [one.id for one in manifests.values() if one.parent is None]
    newest = set(sorted(fulls)[-max(1, keep_full) :])
    return {one for one in manifests if _root(manifests, one) in newest}


async def prune(vault: Vault, keep_full: int) -> list[str]:
    """Delete the backups beyond ``keep_full`` full ones; returns their ids.

    With them go the segments of the log, the changes of the bucket and the copies of objects that
    no kept backup needs. If it is killed, the next call deletes the rest.
    """
    manifests = await read_manifests(vault)
    if not manifests:
        return []
    keep = kept(manifests, keep_full)
    gone = sorted(manifests.keys() - keep)
    # The manifest goes first: what is left is half, and never restored.
    await vault.delete([path_of(one, "manifest") for one in gone])
    rest = [f.name for one in gone for f in await vault.list(f"base/{one}/")]
    await vault.delete(rest)
    staying = [manifests[one] for one in sorted(keep)]
    await _prune_wal(vault, staying)
    oldest = min(one.listed_at for one in staying)
    journal = [file.name for file in await vault.list("journal/")]
    await vault.delete([name for name in journal if bucket.moment_of(name) <= oldest])
    await _prune_objects(vault, staying)
    return gone


def _root(manifests: Mapping[str, Manifest], one: str) -> str | None:
    """Return the full backup that one stands on; None if a part of the chain is gone."""
    found = manifests.get(one)
    while found is not None and found.parent is not None:
        found = manifests.get(found.parent)
    return found.id if found is not None else None


async def _prune_wal(vault: Vault, staying: list[Manifest]) -> None:
    starts = [one.postgres.start_segment for one in staying if one.postgres is not None]
    if not starts:
        return
    names = [file.name for file in await vault.list("wal/")]
    await vault.delete(
        [name for name in names if (number := segment_number(name)) and number < min(starts)]
    )


def segment_number(name: str) -> int | None:
    """Return the number of a segment of the log, whatever its timeline; None for other files."""
    segment = name.rpartition("/")[2].removesuffix(".partial")
    if len(segment) != _SEGMENT_NAME_CHARACTERS:
        return None
    # Timeline, then the segment as 4 GB and a 16 MB piece of it.
    return int(segment[8:16], 16) * 256 + int(segment[16:], 16)


async def _prune_objects(vault: Vault, staying: list[Manifest]) -> None:
    needed: set[str] = set()
    for one in staying:
        inventory = await bucket.read_inventory(vault, one, until=one.listed_at)
        needed |= {bucket.blob_name(vault, entry.sha256) for entry in inventory.values()}
    needed |= await bucket.named_in_journal(vault)
    before = datetime.now(UTC) - UNLISTED_FOR
    stored = await vault.list("objects/")
    await vault.delete([f.name for f in stored if f.name not in needed and f.modified < before])
