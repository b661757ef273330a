"""The copied log, fetched for a recovery: what is there, and which piece is missing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from atelier_admin.backup.errors import Corrupted
from atelier_admin.backup.manifests import PostgresPart
from atelier_admin.backup.retention import segment_number
from atelier_admin.backup.vault import Vault
from atelier_admin.backup.wal import PARTIAL


@dataclass(frozen=True)
class FetchedLog:
    """``lost`` names the segments that are missing or damaged, or that come after such a one."""

    segments: int
    lost: list[str]


async def fetch_log(
    vault: Vault, part: PostgresPart, own: Path, to: Path, own_timeline: bool = False
) -> FetchedLog:
    """Fetch the log that follows a base backup into the folder ``to``.

    ``own`` is the log that the backup itself has. Where the newest segment was copied while it was
    written, the one that has more of it is taken. ``own_timeline`` leaves out segments of others;
    their history files are fetched, so that Postgres begins a timeline that none of them has.

    Raises:
        WrongKey: the log is encrypted with another key.
    """
    to.mkdir(mode=0o700)
    names = [file.name.removeprefix("wal/") for file in await vault.list("wal/")]
    lost: dict[int, str] = {}
    found: dict[int, str] = {}
    for name in names:
        number = segment_number(name)
        if number is not None and number < part.start_segment:
            continue
        if number is not None and own_timeline and not name.startswith(f"{part.timeline:08X}"):
            continue
        if name.endswith(PARTIAL) and name.removesuffix(PARTIAL) in names:
            continue
        try:
            await vault.fetch_file(f"wal/{name}", to / name)
        except Corrupted:
            if number is not None:
                lost[number] = name
            continue
        if number is not None:
            found[number] = name
        if name.endswith(PARTIAL):
            _take_longer(to / name, own)
    for path in own.iterdir():
        if (number := segment_number(path.name)) is not None:
            found.setdefault(number, path.name)
            lost.pop(number, None)
            if not (to / path.name).exists():
                shutil.copyfile(path, to / path.name)
    if found or lost:
        newest = max([*found, *lost])
        for number in range(part.start_segment, newest):
            if number not in found:
                lost.setdefault(number, segment_name(part.timeline, number))
    first = min(lost, default=None)
    if first is not None:
        # Nothing after a gap can be replayed.
        lost |= {number: name for number, name in found.items() if number > first}
    return FetchedLog(len(found), [lost[number] for number in sorted(lost)])


def segment_name(timeline: int, number: int) -> str:
    """Return the name of a segment by its number."""
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"


def _take_longer(partial: Path, own: Path) -> None:
    """Rename a partial segment to what Postgres asks for, unless the backup has more of it."""
    name = partial.name.removesuffix(PARTIAL)
    other = own / name
    if other.is_file() and _used(other) >= _used(partial):
        partial.unlink()
    else:
        partial.rename(partial.with_name(name))


def _used(segment: Path) -> int:
    """Return how much of a segment is written: the rest is zeros."""
    return len(segment.read_bytes().rstrip(b"\0"))
