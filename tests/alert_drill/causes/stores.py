"""Stores that stand still or crawl, a disk that is full, backups that are not made."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from tests.alert_drill.causes.cause import Cause, again_and_again, standing_still
from tests.alert_drill.stage import Stage

CRAWL_S = 1.5
BREATH_S = 0.1
LEFT = 0.05  # of the disk, which DiskAlmostFull takes for too little
_AGE = (
    "UPDATE backups SET started_at = started_at - %s::interval,"
    " finished_at = finished_at - %s::interval WHERE kind = ANY(%s)"
)


@contextmanager
def stop_postgres(stage: Stage) -> Iterator[None]:
    """While clients submit, and are refused."""

    def submit() -> None:
        with suppress(httpx.HTTPError):
            stage.submit("scribe", {"text": "nobody can write it down"})

    with (
        again_and_again(submit, every_s=0.2, threads=4),
        standing_still([stage.server("postgres")]),
    ):
        yield


@contextmanager
def stop_the_object_store(stage: Stage) -> Iterator[None]:
    with standing_still([stage.server("seaweedfs")]):
        yield


@contextmanager
def slow_the_object_store_down(stage: Stage) -> Iterator[None]:
    """It runs for a moment every other second."""
    server = stage.server("seaweedfs")

    def crawl() -> None:
        server.send_signal(signal.SIGSTOP)
        try:
            time.sleep(CRAWL_S)
        finally:
            server.send_signal(signal.SIGCONT)

    with again_and_again(crawl, every_s=BREATH_S):
        yield


def cannot_be_filled(stage: Stage) -> str | None:
    return None if stage.disk else "only root can mount a small disk to fill"


@contextmanager
def fill_the_disk(stage: Stage) -> Iterator[None]:
    assert stage.disk is not None, "looked at before"
    ballast, disk = stage.disk / "ballast", os.statvfs(stage.disk)
    size = int((disk.f_bavail - LEFT * disk.f_blocks) * disk.f_frsize)
    try:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        yield
    finally:
        ballast.unlink(missing_ok=True)


def back_up(stage: Stage) -> None:
    stage.command("backup")


@contextmanager
def let_backups_grow_old(stage: Stage) -> Iterator[None]:
    """The repair is a new one."""
    stage.sql(_AGE, "27 hours", "27 hours", ["base", "incremental"])
    yield
    back_up(stage)


def practice_a_restore(stage: Stage) -> None:
    back_up(stage)
    stage.command("drill")


@contextmanager
def let_drills_grow_old(stage: Stage) -> Iterator[None]:
    stage.sql(_AGE, "9 days", "9 days", ["drill"])
    try:
        yield
    finally:
        stage.sql(_AGE, "-9 days", "-9 days", ["drill"])


@contextmanager
def stop_the_archiver(stage: Stage) -> Iterator[None]:
    """``atelier-admin wal`` with its pg_receivewal. If they ended, they would be started again."""
    with standing_still([stage.server("wal-archiver")]):
        yield


CAUSES = (
    Cause("the last backup is of yesterday", ("BackupTooOld",), let_backups_grow_old, 120, back_up),
    Cause(
        "the last restore drill is of last week",
        ("DrillTooOld",),
        let_drills_grow_old,
        120,
        practice_a_restore,
    ),
    Cause("the archiver of the WAL stands still", ("WalBehind",), stop_the_archiver, 300),
    Cause("the object store stands still", ("StoreDown",), stop_the_object_store),
    Cause("the object store crawls", ("StoreSlow",), slow_the_object_store_down, 420),
    Cause(
        "the disk is filled",
        ("DiskAlmostFull", "DiskFills"),
        fill_the_disk,
        obstacle=cannot_be_filled,
    ),
    Cause(
        "Postgres stands still while clients submit",
        ("DatabaseDown", "ApiErrors", "SubmitBudgetBurnsFast", "SubmitBudgetBurnsSlow"),
        stop_postgres,
        240,
    ),
)
