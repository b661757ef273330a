"""``atelier-admin drill``: restores the newest backup for practice; prints RPO and RTO."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from atelier_admin.backup.backup import WORK
from atelier_admin.backup.commandline import (
    add_options,
    required_key,
    run_to_exit_status,
    say,
    target_url,
)
from atelier_admin.backup.drill import drill
from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.source import open_source
from atelier_admin.backup.targets import open_target
from atelier_admin.commands.restore import lines_of


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser("drill", help="practice a restore", description=__doc__)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return run_to_exit_status(lambda: _drill(arguments))


async def _drill(arguments: argparse.Namespace) -> int:
    environ, data = os.environ, arguments.data.resolve()
    try:
        stores = open_source(data, environ).stores
    except BackupFailed as error:
        say(f"the result will not be recorded: {error}")
        stores = None
    target = open_target(target_url(arguments, environ), stores, environ)
    key = required_key(data, environ)
    recorded_at = stores.database_url.get_secret_value() if stores else None
    found = await drill(target, key, data / WORK, recorded_at, say)
    if arguments.json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        print("\n".join(lines_of(found.report)))
        rpo = "unknown" if found.rpo_seconds is None else f"{found.rpo_seconds:.1f} s"
        print(f"RPO {rpo}  RTO {found.rto_seconds:.1f} s")
    return 0 if found.report.is_whole else 1
