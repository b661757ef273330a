"""What the commands of backups share: their options, and errors in one line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.failures import FAILURES
from atelier_admin.backup.sealed import BackupKey
from atelier_admin.backup.source import find_key
from atelier_admin.options import DATA_FOLDER, default_data_folder


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        help="where backups lie: a folder, file:///folder or s3://bucket/prefix ($BACKUP_URL)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=default_data_folder(os.environ),
        help=f"the data folder of the service (default $ATELIER_DATA_DIR, else {DATA_FOLDER})",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def target_url(arguments: argparse.Namespace, environ: Mapping[str, str]) -> str:
    """Return ``--target`` or ``BACKUP_URL``; raises BackupFailed if neither is given."""
    url = arguments.target or environ.get("BACKUP_URL")
    if not url:
        raise BackupFailed("say where backups lie: --target or BACKUP_URL (docs/backup.md)")
    return str(url)


def required_key(data: Path, environ: Mapping[str, str]) -> BackupKey:
    """Return the key that backups were made with; raises BackupFailed if there is none."""
    key = find_key(data, environ)
    if key is None:
        raise BackupFailed(
            f"there is no key in {data}: set BACKUP_KEY to the one that was told when the first"
            " backup was made"
        )
    return key


def say(line: str) -> None:
    """Tell how it goes; the result alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)


def run_to_exit_status(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command; what fails for a reason outside is one line and status 1."""
    try:
        return asyncio.run(work())
    except FAILURES as error:
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        return 1
