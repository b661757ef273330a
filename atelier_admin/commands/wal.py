"""``atelier-admin wal``: copies Postgres' log and new objects to the target, until it is stopped.

``./scripts/run`` keeps it running where ``BACKUP_URL`` is set.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from atelier_admin.backup.backup import WORK
from atelier_admin.backup.commandline import add_options, run_to_exit_status, target_url
from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.source import find_key, keep_key, open_source
from atelier_admin.backup.targets import open_target
from atelier_admin.backup.vault import Vault
from atelier_admin.backup.wal import Archiver


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser("wal", help="stream Postgres' log", description=__doc__)
    add_options(parser)
    parser.add_argument("--every", type=float, default=10, help="seconds between copies (10)")
    parser.add_argument(
        "--objects-every", type=float, default=60, help="seconds between looks at the bucket (60)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return run_to_exit_status(lambda: _archive(arguments))


async def _archive(arguments: argparse.Namespace) -> int:
    data = arguments.data.resolve()
    source = open_source(data, os.environ)
    if source.postgres is None:
        raise BackupFailed("Postgres is not the embedded one: use its provider's log archive")
    target = open_target(target_url(arguments, os.environ), source.stores, os.environ)
    key = find_key(data, os.environ) or keep_key(data)
    work = data / WORK
    work.mkdir(mode=0o700, exist_ok=True)
    for left in work.glob("wal-scratch-*"):
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="wal-scratch-", dir=work))
    try:
        archiver = Archiver(
            Vault(target, key, scratch),
            source,
            source.postgres,
            arguments.every,
            arguments.objects_every,
        )
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, archiver.stop.set)
        await target.prepare()
        await archiver.run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0
