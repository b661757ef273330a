"""``atelier-admin backup``: one backup of everything, incremental where it can be."""

from __future__ import annotations

import argparse
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from atelier_admin.backup.backup import Options, back_up
from atelier_admin.backup.commandline import add_options, run_to_exit_status, say, target_url
from atelier_admin.backup.source import KEY_FILE, find_key, keep_key, open_source
from atelier_admin.backup.targets import open_target
from db.operations import backups
from db.session import make_sessions, open_engine


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser("backup", help="back up everything", description=__doc__)
    add_options(parser)
    parser.add_argument("--full", action="store_true", help="do not stand on earlier backups")
    parser.add_argument(
        "--keep-full", type=int, default=7, help="full backups to keep, with all on them (7)"
    )
    parser.add_argument(
        "--full-after-days", type=float, default=7, help="make a full one after so many days (7)"
    )
    parser.add_argument(
        "--status", action="store_true", help="make none; tell how old the last good ones are"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    work = _status if arguments.status else _backup
    return run_to_exit_status(lambda: work(arguments))


async def _backup(arguments: argparse.Namespace) -> int:
    data = arguments.data.resolve()
    source = open_source(data, os.environ)
    target = open_target(target_url(arguments, os.environ), source.stores, os.environ)
    key = find_key(data, os.environ)
    if key is None:
        key = keep_key(data)
        say(
            f"made a key for the backups, in {data / KEY_FILE}. Keep a copy elsewhere: without it"
            f" nothing can be restored.\n  BACKUP_KEY={key.secret.hex()}"
        )
    further = [Path(p) for p in [os.environ.get("ATELIER_ENV_FILE", "/etc/atelier.env")] if p]
    options = Options(
        full=arguments.full,
        keep_full=arguments.keep_full,
        full_after=timedelta(days=arguments.full_after_days),
        settings_files=further,
    )
    made = await back_up(source, target, key, options, say)
    if arguments.json:
        print(made.model_dump_json(indent=1))
    else:
        seconds = (made.finished_at - made.started_at).total_seconds()
        size = sum(file.stored for file in made.files)
        print(f"{made.id}  {made.kind}  {size} bytes  {seconds:.1f} s")
    return 0


async def _status(arguments: argparse.Namespace) -> int:
    """Tell what is recorded; the exit status is 1 if there is no good backup at all."""
    stores = open_source(arguments.data.resolve(), os.environ).stores
    engine = open_engine(stores.database_url.get_secret_value(), connections=2)
    try:
        async with make_sessions(engine)() as session:
            ages = await backups.ages(session)
            drill = await backups.last_drill(session)
    finally:
        await engine.dispose()
    seconds = {kind: age.total_seconds() if age else None for kind, age in ages.items()}
    last = {"ok": drill.ok, **drill.detail} if drill is not None else None
    if arguments.json:
        print(json.dumps({"age_seconds": seconds, "last_drill": last}, indent=1))
    else:
        for kind, age in ages.items():
            print(f"{kind:12} {'never' if age is None else str(age).partition('.')[0]}")
        if last is not None:
            rpo, rto = last.get("rpo_seconds"), last.get("rto_seconds")
            print(f"last drill   {'good' if last['ok'] else 'failed'}, RPO {rpo} s, RTO {rto} s")
    return 0 if ages["base"] is not None else 1
