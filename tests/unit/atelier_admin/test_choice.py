"""Which backup is restored, and which log with it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from atelier_admin.backup.archive import fetch_log
from atelier_admin.backup.choice import choose
from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.manifests import Manifest, PostgresPart
from atelier_admin.backup.sealed import BackupKey
from atelier_admin.backup.targets import FolderTarget
from atelier_admin.backup.vault import Vault
from atelier_admin.main import parser

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PART = PostgresPart(system_id="7", timeline=1, start_segment=2)


def manifest(hours: int, part: PostgresPart | None = PART) -> Manifest:
    """A backup that was finished so many hours after noon."""
    at = NOON + timedelta(hours=hours)
    return Manifest(
        id=f"b{hours}",
        kind="base",
        parent=None,
        started_at=at,
        listed_at=at,
        finished_at=at,
        postgres=part,
        files=[],
    )


def by_id(made: Sequence[Manifest]) -> dict[str, Manifest]:
    return {one.id: one for one in made}


BACKUPS = by_id([manifest(1), manifest(2), manifest(3), manifest(4, None)])


@pytest.mark.parametrize(
    ("backup_id", "hours", "chosen"),
    [
        (None, None, "b3"),
        (None, 2.5, "b2"),
        (None, 2, "b2"),
        ("b1", None, "b1"),
        ("b1", 2.5, "b1"),
        ("b2", 2, "b2"),
    ],
)
def test_the_newest_or_the_one_that_is_named(
    backup_id: str | None, hours: float | None, chosen: str
) -> None:
    moment = None if hours is None else NOON + timedelta(hours=hours)
    assert choose(BACKUPS, backup_id, moment).id == chosen


@pytest.mark.parametrize("unknown", ["b9", "b4"])  # b4 has no Postgres
def test_an_unknown_id_is_answered_with_those_there_are(unknown: str) -> None:
    with pytest.raises(BackupFailed) as refused:
        choose(BACKUPS, unknown, NOON + timedelta(hours=2))
    assert str(refused.value) == (
        f"there is no finished backup {unknown} of Postgres; there are"
        " b3 (2026-01-01 15:00:00 UTC), b2 (2026-01-01 14:00:00 UTC), b1 (2026-01-01 13:00:00 UTC)"
    )


def test_a_backup_after_the_moment_is_answered_with_those_before_it() -> None:
    with pytest.raises(BackupFailed, match=r"after the moment to restore; before it: b1 \([^,]*$"):
        choose(BACKUPS, "b2", NOON + timedelta(hours=1))
    with pytest.raises(BackupFailed, match="before it: none"):
        choose(BACKUPS, "b2", NOON)


def test_a_long_list_is_cut() -> None:
    with pytest.raises(BackupFailed, match=r"are b25 .*, b6 \(.*\) and 5 older$"):
        choose(by_id([manifest(hour) for hour in range(1, 26)]), "b99", None)


def test_the_command_reads_both() -> None:
    read = parser().parse_args(
        ["restore", "--to", "new", "--backup", "b1", "--target-time", "2026-01-01T12:00:00"]
    )
    assert (read.backup, read.target_time) == ("b1", NOON)


@pytest.mark.parametrize(
    ("own_timeline", "segments"),
    [(False, ["1-2", "1-3", "2-3", "2-4"]), (True, ["1-2", "1-3"])],
)
async def test_the_log_of_its_own_timeline_alone(
    tmp_path: Path, own_timeline: bool, segments: list[str]
) -> None:
    vault = Vault(FolderTarget(tmp_path / "target"), BackupKey(bytes(32)), tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    for timeline, number in ((1, 1), (1, 2), (1, 3), (2, 3), (2, 4)):
        await vault.store_bytes(f"wal/{timeline:08X}{0:08X}{number:08X}", b"log")
    await vault.store_bytes("wal/00000002.history", b"1\t0/3000000\tmistake\n")
    log = await fetch_log(vault, PART, own, tmp_path / "wal", own_timeline)
    names = sorted(path.name for path in (tmp_path / "wal").iterdir())
    assert names.pop(names.index("00000002.history")), "so that the next timeline is the third"
    assert [f"{int(name[:8], 16)}-{int(name[16:], 16)}" for name in names] == segments
    assert log.lost == []
