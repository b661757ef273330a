"""How much is lost, and how soon is it back? ``python -m benchmarks.restore_drill --help``

Real servers of its own with ``--jobs`` settled jobs and ``--objects`` files. Under load (jobs are
submitted and paid for all the time) it makes a full and an incremental backup while the log is
archived, loads on for ``--load-seconds``, kills the servers, deletes the data folder, and restores.
``rpo_seconds`` is the age of the newest transaction that came back at the moment of the kill,
``rto_seconds`` the time of the restore with all its checks. Then the last minute of the log is
deleted, too, and it is restored once more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import structlog

from atelier_admin.backup.backup import ROOT
from atelier_admin.backup.restore import Report
from tests.support.backed_up import House, house, lose
from tests.support.jobs import new_user, submit
from tests.support.scribe import SPEC

USERS = 100
LOADERS = 4
OBJECT_BYTES = 64 << 10
PLENTY = 10**9

# As submits and settlements leave them; billing.reconcile checks it after the restore. Triggers
# would look at each of the entries.
_FILL = """
    SET LOCAL session_replication_role = replica;
    CREATE TEMP TABLE owners ON COMMIT DROP AS
        SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM users;
    CREATE TEMP TABLE made ON COMMIT DROP AS
        SELECT 'job_bench' || lpad(n::text, 12, '0') AS job_id, owners.id AS user_id
        FROM generate_series(1, {jobs}) AS n
        JOIN owners ON owners.place = n % (SELECT count(*) FROM owners);
    INSERT INTO jobs (id, user_id, generator, status, input, seed, attempt, progress, stage,
                      credits_quoted, credits_held, credits_charged, price_version, outputs,
                      started_at, heartbeat_at, finished_at)
        SELECT job_id, user_id, 'image', 'succeeded', '{{"prompt": "a small red star"}}', 7, 1, 1,
               'done', 1, 0, 1, 'bench',
               jsonb_build_array(jsonb_build_object('name', 'image.png', 'note', repeat('x', 300))),
               now(), now(), now() FROM made;
    INSERT INTO transactions (id, user_id, kind, amount, natural_key, job_id, reason)
        SELECT 'txn_' || kind || job_id, user_id, kind, 1, kind || ':' || job_id, job_id, 'image'
        FROM made, unnest(ARRAY['hold', 'capture']) AS kind;
    INSERT INTO entries (transaction_id, account, amount)
        SELECT 'txn_hold' || job_id, 'user:' || user_id || ':available', -1 FROM made
        UNION ALL SELECT 'txn_hold' || job_id, 'user:' || user_id || ':held', 1 FROM made
        UNION ALL SELECT 'txn_capture' || job_id, 'user:' || user_id || ':held', -1 FROM made
        UNION ALL SELECT 'txn_capture' || job_id, 'house:revenue', 1 FROM made;
    UPDATE users SET balance = balance - spent.jobs
        FROM (SELECT user_id, count(*) AS jobs FROM made GROUP BY 1) AS spent
        WHERE spent.user_id = users.id;
"""


async def fill(home: House, jobs: int, objects: int) -> list[str]:
    """Users, jobs with their movements, and files with their objects; returns the users."""
    users = [await new_user(home.sessions, PLENTY) for _ in range(USERS)]
    assert home.source.postgres is not None
    with psycopg.connect(home.source.postgres.url) as connection:
        for statement in _FILL.format(jobs=jobs).split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
    for number in range(objects):
        await home.make_job(number.to_bytes(8, "big") + os.urandom(OBJECT_BYTES))
    return users


@asynccontextmanager
async def load(home: House, users: list[str]) -> AsyncIterator[list[datetime]]:
    """Submits of several clients, one after the other each; yields when each was acknowledged."""
    done: list[datetime] = []

    async def client(number: int) -> None:
        while True:
            await submit(home.sessions, SPEC, users[number], text="a word")
            done.append(datetime.now(UTC))

    clients = [asyncio.create_task(client(number)) for number in range(LOADERS)]
    try:
        yield done
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@asynccontextmanager
async def archiver(home: House) -> AsyncIterator[asyncio.subprocess.Process]:
    """``atelier-admin wal``, as ./scripts/run keeps it: its usual pace, in a process of its own."""
    command = ["wal", "--data", str(home.source.data), "--target", str(home.folder / "target")]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "atelier_admin",
        *command,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def measure(jobs: int, objects: int, load_seconds: float) -> dict[str, Any]:
    async with house() as home:
        users = await fill(home, jobs, objects)
        async with archiver(home) as archiving:
            async with load(home, users) as acknowledged:
                full = await home.back_up()
                incremental = await home.back_up()
                await asyncio.sleep(load_seconds)
                lost_at = datetime.now(UTC)
                archiving.kill()
                await archiving.wait()
                lose(home)
            count = len([moment for moment in acknowledged if moment <= lost_at])
        first = await home.restore("data")
        results = {
            "jobs": jobs,
            "objects": objects,
            "acknowledged_jobs": count,
            "full": _backup(full),
            "incremental": _backup(incremental),
            "restore": _restored(first, lost_at, jobs + objects + count),
        }
        minute = lost_at - timedelta(minutes=1)
        for folder in ("wal/", "journal/"):
            late = [f.name for f in await home.target.list(folder) if f.modified > minute]
            await home.target.delete(late)
        second = await home.restore("without_the_last_minute")
        results["without_the_last_minute"] = _restored(second, lost_at, jobs + objects + count)
        return results


def _backup(made: Any) -> dict[str, Any]:
    seconds = (made.finished_at - made.started_at).total_seconds()
    return {
        "kind": made.kind,
        "seconds": seconds,
        "stored_bytes": sum(file.stored for file in made.files),
    }


def _restored(report: Report, lost_at: datetime, jobs: int) -> dict[str, Any]:
    last = report.last_commit
    return {
        "rpo_seconds": (lost_at - last).total_seconds() if last else None,
        "rto_seconds": report.seconds,
        "jobs": report.findings.jobs,
        "jobs_lost": jobs - report.findings.jobs,
        "objects": report.objects,
        "objects_wrong": len(report.objects_wrong),
        "files_without_object": len(report.findings.missing),
        "ledger_differences": len(report.findings.differences),
        "log_segments_lost": len(report.log.lost),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restore_drill", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--load-seconds", type=float, default=90)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    # Its servers are killed under the clients' hands.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    results = asyncio.run(measure(arguments.jobs, arguments.objects, arguments.load_seconds))
    print(json.dumps(results, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
