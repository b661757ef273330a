"""A restored Postgres replays its log, to its end or to a moment, and is promoted."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psycopg

from atelier_admin.backup.errors import BackupFailed
from db.embedded.account import Account, unprivileged_account
from db.embedded.postgres import EmbeddedPostgres, data_folder
from db.embedded.process import ServerFailed
from db.embedded.state import State

LOG_FOLDER = "restored_wal"
# Postgres' own words: the newest one of the log, or the one that the backup was made on.
Timeline = Literal["latest", "current"]
_REPLAY_TIMEOUT_S = 6 * 3600.0
_NOT_REACHED = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True)
class Recovered:
    """``last_commit`` is the newest transaction that came back; None if the log had none.

    ``reached_target`` is False where the log ended before the moment that was asked for.
    """

    postgres: EmbeddedPostgres
    last_commit: datetime | None
    reached_target: bool


def refuse_left_database(folder: Path) -> None:
    """Raise BackupFailed if Postgres' data of an earlier ``folder`` lie outside of it."""
    home = data_folder(folder, unprivileged_account())
    if home.exists():
        raise BackupFailed(f"{home} is there already: move it away, or restore to another folder")


def place(folder: Path, data: Path, wal: Path) -> None:
    """Move a data folder of Postgres and its log to where the server of ``folder`` finds them."""
    account = unprivileged_account()
    home = data_folder(folder, account)
    shutil.move(wal, home.with_name(LOG_FOLDER))
    shutil.move(data, home)
    (home / "recovery.signal").touch(mode=0o600)
    for above in (home, home.with_name(LOG_FOLDER)):
        _give(above, account)


def recover(folder: Path, target_time: datetime | None, timeline: Timeline = "latest") -> Recovered:
    """Start the server, wait until it has replayed the log and is promoted.

    Raises:
        BackupFailed: it could not; the message has the end of its log.
    """
    wal = data_folder(folder, unprivileged_account()).with_name(LOG_FOLDER)
    quoted = shlex.quote(str(wal).replace("%", "%%"))
    # Settings of this start alone: the next one is an ordinary start.
    settings = {
        "restore_command": f"cp {quoted}/%f %p",
        "recovery_target_timeline": timeline,
        "hot_standby": "on",
        "archive_mode": "off",
    }
    if target_time is not None:
        moment = target_time.astimezone(UTC).isoformat(sep=" ")
        timed = settings | {"recovery_target_time": moment, "recovery_target_action": "promote"}
        try:
            return _replay(folder, timed, True)
        except ServerFailed as error:
            if _NOT_REACHED not in (folder / "logs" / "postgres.log").read_text(errors="replace"):
                raise BackupFailed(str(error)) from error
    try:
        return _replay(folder, settings, target_time is None)
    except ServerFailed as error:
        raise BackupFailed(str(error)) from error


def forget_log(folder: Path) -> None:
    """Remove the fetched log of a server that was promoted and needs it no more."""
    home = data_folder(folder, unprivileged_account())
    shutil.rmtree(home.with_name(LOG_FOLDER), ignore_errors=True)


def remove_database(folder: Path) -> None:
    """Remove the data of Postgres, which may lie outside of ``folder``."""
    if not folder.exists():
        return
    home = data_folder(folder, unprivileged_account())
    shutil.rmtree(home, ignore_errors=True)
    forget_log(folder)
    if home.parent != folder.resolve() and home.parent.exists():
        home.parent.rmdir()


def _replay(folder: Path, settings: dict[str, str], reached: bool) -> Recovered:
    postgres = EmbeddedPostgres(folder, State(folder), settings)
    try:
        postgres.start(_REPLAY_TIMEOUT_S)  # it answers once what it replayed is consistent
        last_commit = _wait_until_promoted(postgres)
    except psycopg.OperationalError as error:
        # It answered, as what it replays is consistent, and ended before the next question.
        postgres.stop()
        ended = f"Postgres ended while it replayed. {postgres.process.tail()}"
        raise ServerFailed(ended) from error
    except BaseException:
        postgres.stop()
        raise
    return Recovered(postgres, last_commit, reached)


def _wait_until_promoted(postgres: EmbeddedPostgres) -> datetime | None:
    """Return when the last replayed transaction was committed.

    Raises:
        ServerFailed: the server ended.
        BackupFailed: it still replays after hours.
    """
    url = postgres.environment()["DATABASE_URL"].replace("+psycopg", "", 1)
    deadline = time.monotonic() + _REPLAY_TIMEOUT_S
    while time.monotonic() < deadline:
        if not postgres.process.alive():
            raise ServerFailed(f"Postgres ended while it replayed. {postgres.process.tail()}")
        try:
            with psycopg.connect(url, connect_timeout=5) as connection:
                row = connection.execute(
                    "SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()"
                ).fetchone()
        except psycopg.OperationalError:
            time.sleep(0.1)
            continue
        if row is not None and not row[0]:
            moment: datetime | None = row[1]
            return moment
        time.sleep(0.1)
    raise BackupFailed(f"Postgres still replays after {_REPLAY_TIMEOUT_S / 3600:.0f} hours")


def _give(folder: Path, account: Account) -> None:
    """Give a folder and all in it to the account that runs Postgres."""
    folder.chmod(0o700)
    account.take_ownership(folder)
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            account.take_ownership(Path(above) / name)
