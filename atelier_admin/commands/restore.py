"""``atelier-admin restore``: a data folder as it was at a moment, or as new as it can be."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atelier_admin.backup.commandline import (
    add_options,
    required_key,
    run_to_exit_status,
    say,
    target_url,
)
from atelier_admin.backup.restore import Options, Report, restore
from atelier_admin.backup.targets import open_target
from db.settings import StoreSettings

_SHOWN = 20  # of a list, and a count of the rest


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser("restore", help="rebuild a data folder", description=__doc__)
    add_options(parser)
    parser.add_argument(
        "--to", type=Path, required=True, help="a folder that is empty or not there"
    )
    parser.add_argument(
        "--target-time",
        type=_moment,
        help="the moment to restore, as 2026-01-31T12:00:00+00:00 (without a zone: UTC)",
    )
    parser.add_argument(
        "--backup",
        metavar="ID",
        help="the backup to start from, and its timeline to follow (default: the newest of both)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return run_to_exit_status(lambda: _restore(arguments))


async def _restore(arguments: argparse.Namespace) -> int:
    environ = os.environ
    target = open_target(target_url(arguments, environ), None, environ)
    key = required_key(arguments.data, environ)
    options = Options(
        target_time=arguments.target_time,
        backup_id=arguments.backup,
        stores=_object_store(environ) if environ.get("S3_ENDPOINT") else None,
        mongodb_url=environ.get("MONGODB_URL"),
    )
    report = await restore(target, key, arguments.to, options, say)
    if arguments.json:
        print(json.dumps(report.as_json(), indent=1))
    else:
        print("\n".join(lines_of(report)))
        print(f"start it with ./scripts/run --data {arguments.to}")
        print("then make a full backup at once: atelier-admin backup --full")
    return 0 if report.is_whole else 1


def _object_store(environ: Mapping[str, str]) -> StoreSettings:
    """The settings of the bucket alone: the other servers are made by the restore."""
    unused: dict[str, Any] = {"DATABASE_URL": "postgresql://none", "REDIS_URL": "redis://none"}
    return StoreSettings(**{**unused, **environ})


def lines_of(report: Report) -> list[str]:
    """Tell a person what came back and what did not."""
    found = report.findings
    lines = [
        f"backup {report.backup_id}, {report.seconds:.1f} s",
        f"last transaction: {report.last_commit}",
        f"{found.jobs} jobs, {found.files} files, {report.objects} objects put back",
        f"ledger: {len(found.differences)} differences",
    ]
    if report.documents is not None:
        lines.append(f"{report.documents} documents, as old as the backup")
    if not report.reached_target:
        lines.append(f"the log ends before {report.target_time}: what came later is lost")
    if report.log.lost:
        lines.append("lost of the log: " + _some(report.log.lost))
    if found.audit_broken_at is not None:
        lines.append(f"the audit log does not fit from row {found.audit_broken_at} on")
    for difference in found.differences[:_SHOWN]:
        lines.append(f"  {difference.check}  {difference.row}  {difference.detail}")
    if report.objects_wrong:
        lines.append("not put back: " + _some(sorted(report.objects_wrong)))
    if found.missing:
        jobs = sorted({one.job_id for one in found.missing if one.job_id})
        lines.append(f"{len(found.missing)} files without their object, of jobs {_some(jobs)}")
    if found.without_row:
        lines.append(f"{len(found.without_row)} objects without a row, which maintenance sweeps")
    return lines


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
