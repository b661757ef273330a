"""The newest backup, restored for practice beside the service, and what was measured."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atelier_admin.backup.backup import record
from atelier_admin.backup.recovery import remove_database
from atelier_admin.backup.restore import Options, Report, restore
from atelier_admin.backup.sealed import BackupKey
from atelier_admin.backup.targets import Target

Say = Callable[[str], None]


@dataclass(frozen=True)
class Drill:
    """``rpo_seconds`` is how old the last transaction was that came back, at the drill's start.

    The archiver commits a heartbeat in each round, so that this tells of the copy and not of how
    busy the service is. It is None if no transaction was replayed. ``rto_seconds`` is how long the
    restore took, with all checks.
    """

    report: Report
    rpo_seconds: float | None
    rto_seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.report.is_whole,
            "rpo_seconds": self.rpo_seconds,
            "rto_seconds": self.rto_seconds,
            "restore": self.report.as_json(),
        }


async def drill(
    target: Target, key: BackupKey, beside: Path, database_url: str | None, say: Say
) -> Drill:
    """Restore into a scratch folder ``beside`` with free ports, measure, record, remove it.

    The service is not touched. ``database_url`` is where the result is recorded.

    Raises:
        BackupFailed: there was nothing to restore, or it could not be; that is recorded, too.
    """
    beside.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="drill-", dir=beside))
    folder.chmod(0o711)
    to = folder / "data"
    started = datetime.now(UTC)
    try:
        report = await restore(target, key, to, Options(fresh_ports=True), say)
    except Exception as error:
        if database_url is not None:
            detail: dict[str, object] = {"error": str(error)[:500]}
            await record(database_url, "drill", started, 0, False, detail, say)
        raise
    finally:
        remove_database(to)
        shutil.rmtree(folder, ignore_errors=True)
    rpo = None
    if report.last_commit is not None:
        rpo = max(0.0, (started - report.last_commit).total_seconds())
    found = Drill(report, rpo, report.seconds)
    if database_url is not None:
        detail = {
            "backup_id": report.backup_id,
            "rpo_seconds": rpo,
            "rto_seconds": found.rto_seconds,
            "jobs": report.findings.jobs,
            "objects": report.objects,
            "missing": len(report.findings.missing),
            "differences": len(report.findings.differences),
            "lost_segments": len(report.log.lost),
        }
        ok = report.is_whole
        await record(database_url, "drill", started, report.bytes, ok, detail, say)
    return found
