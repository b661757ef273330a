"""Base backups of the embedded Postgres, full and incremental, each verified before it is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import psycopg

from atelier_admin.backup.errors import BackupFailed, Corrupted
from atelier_admin.backup.manifests import (
    WAL_SEGMENT_BYTES,
    Manifest,
    PostgresPart,
    path_of,
)
from atelier_admin.backup.programs import ProgramFailed, run_program
from atelier_admin.backup.source import PostgresAddress
from atelier_admin.backup.vault import SealedFile, Vault

ARCHIVE = "postgres.tar"
MANIFEST = "backup_manifest"


@dataclass(frozen=True)
class Position:
    """Which server it is, and on which timeline: an incremental backup needs the same."""

    system_id: str
    timeline: int


def position(address: PostgresAddress) -> Position:
    """Ask the server; raises psycopg.OperationalError if it does not answer."""
    with psycopg.connect(address.url, connect_timeout=10) as connection:
        row = connection.execute(
            "SELECT system_identifier::text, timeline_id"
            " FROM pg_control_system(), pg_control_checkpoint()"
        ).fetchone()
    assert row is not None
    return Position(*row)


async def back_up_database(
    vault: Vault, address: PostgresAddress, backup_id: str, parent: Manifest | None
) -> tuple[PostgresPart, list[SealedFile]]:
    """Copy the running server, verify the copy, store it; against ``parent`` if there is one.

    Raises:
        ProgramFailed: the server refused it; against a parent also if the summaries of its log do
            not reach back that far.
        Corrupted: what was copied is not what the server sent.
    """
    folder = vault.scratch / "postgres"
    options: list[str | Path] = []
    if parent is not None:
        known = vault.scratch / "parent_manifest"
        await vault.fetch_file(path_of(parent.id, MANIFEST), known, parent.file(MANIFEST))
        options = [f"--incremental={known}"]
    await run_program(
        "pg_basebackup",
        f"--pgdata={folder}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--manifest-checksums=SHA256",
        "--no-sync",
        *options,
        address=address,
    )
    await verify_folder(folder, backup_id)
    files = [
        await vault.store_file(path_of(backup_id, MANIFEST), folder / MANIFEST),
        await vault.store_folder(path_of(backup_id, ARCHIVE), folder),
    ]
    return _part(folder / MANIFEST), files


async def verify_folder(folder: Path, backup_id: str) -> None:
    """Check every file against Postgres' own manifest, and that the log in it can be read.

    Raises:
        Corrupted: it differs.
    """
    try:
        await run_program("pg_verifybackup", "--quiet", folder)
    except ProgramFailed as error:
        raise Corrupted(f"the backup {backup_id} is damaged: {error}") from error


async def combine(folders: list[Path], to: Path) -> None:
    """Make one data folder of a full backup and the incremental ones after it, in their order.

    The folders are used up: files may be linked, not copied.

    Raises:
        BackupFailed: they do not fit together.
    """
    if len(folders) == 1:
        folders[0].rename(to)
        return
    try:
        await run_program("pg_combinebackup", "--no-sync", "--link", f"--output={to}", *folders)
    except ProgramFailed as error:
        raise BackupFailed(str(error)) from error


def _part(manifest: Path) -> PostgresPart:
    content = json.loads(manifest.read_text())
    ranges = content["WAL-Ranges"]
    high, low = ranges[-1]["Start-LSN"].split("/")
    return PostgresPart(
        system_id=str(content["System-Identifier"]),
        timeline=ranges[-1]["Timeline"],
        start_segment=((int(high, 16) << 32) | int(low, 16)) // WAL_SEGMENT_BYTES,
    )
