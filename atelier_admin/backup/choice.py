"""Which backup is restored: the newest before a moment, or the one that was asked for by its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.manifests import Manifest

_SHOWN = 20  # of a list, and a count of the rest


def choose(
    manifests: Mapping[str, Manifest], backup_id: str | None, target_time: datetime | None
) -> Manifest:
    """Return the backup with Postgres to restore; ``manifests`` are oldest first.

    Without ``backup_id`` it is the newest one; with ``target_time`` it was finished by then.

    Raises:
        BackupFailed: none fits; the message lists those that do.
    """
    usable = [one for one in manifests.values() if one.postgres is not None]
    if not usable:
        raise BackupFailed("there is no backup of Postgres at the target")
    early = [one for one in usable if target_time is None or one.finished_at <= target_time]
    if backup_id is not None:
        return _by_id(backup_id, usable, early)
    if not early:
        raise BackupFailed(f"the oldest backup is of {usable[0].finished_at}, later than that")
    return early[-1]


def _by_id(backup_id: str, usable: Sequence[Manifest], early: Sequence[Manifest]) -> Manifest:
    found = next((one for one in usable if one.id == backup_id), None)
    if found is None:
        raise BackupFailed(
            f"there is no finished backup {backup_id} of Postgres; there are {_listed(usable)}"
        )
    if found not in early:
        raise BackupFailed(
            f"the backup {backup_id} was finished at {found.finished_at}, after the moment to"
            f" restore; before it: {_listed(early)}"
        )
    return found


def _listed(backups: Sequence[Manifest]) -> str:
    """Name them, newest first."""
    newest = list(reversed(backups))
    named = ", ".join(
        f"{one.id} ({one.finished_at:%Y-%m-%d %H:%M:%S %Z})" for one in newest[:_SHOWN]
    )
    rest = len(newest) - _SHOWN
    return (named or "none") + (f" and {rest} older" if rest > 0 else "")
